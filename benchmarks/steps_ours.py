"""Our training and prediction steps, in a child process.

`processes.serve` reads the requests. PyTorch's names for our variables are here too, so
that the peer starts from equal weights.
"""

import tempfile
import time
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from adapters_tf.adapters import AdapterConfig
from adapters_tf.convert.adapterhub import tensor_names
from adapters_tf.convert.adapterhub_config import HubAdapter
from adapters_tf.convert.bert import bert_tensors
from adapters_tf.errors import UserError
from adapters_tf.models.backbones import BertAdapterBackbone
from adapters_tf.models.features import Features
from adapters_tf.models.frozen_prefix import FrozenPrefix
from adapters_tf.tasks.classification import AdapterTextClassifier
from adapters_tf.training.config import TrainConfig
from adapters_tf.training.predict import Predictor
from adapters_tf.training.prefix_cache import CacheConfig, PrefixCache
from adapters_tf.training.trainer import AdapterTrainer
from benchmarks.processes import peak_bytes, resident_bytes, serve

# Rows of the data: some batches, that the input pipeline has to take apart.
_BATCHES = 8
_CLASSES = 2


class Steps:
    """The requests: `make`, `run`, `outputs`, `save`, `memory`."""

    def __init__(self) -> None:
        self._runs: dict[str, Any] = {}
        self._models: dict[str, Any] = {}
        self._fill: dict[str, float] = {}
        self._scratch = tempfile.TemporaryDirectory()

    def make(
        self,
        case: dict[str, Any],
        kinds: list[str],
        device: str = "cpu",
        tf32: bool = False,
    ) -> dict[str, Any]:
        """Build what is timed.

        Args:
            case: `Case.to_dict()`.
            kinds: `"train_adapters"`, `"train_full"`, `"predict_adapters"` or
                `"predict_base"`; `"train_top"`: adapters in the upper half of the
                blocks, and with `"-memory"` or `"-disk"` behind it from kept hidden
                states.
            device: `"cpu"` or `"gpu"`.
            tf32: Whether a GPU may compute float32 products in TensorFloat-32.

        Returns:
            `trained_parameters` of each kind, and the seconds of computing what is
            kept, `fill_seconds`.
        """
        if device == "cpu":
            tf.config.set_visible_devices([], "GPU")
        elif not tf.config.list_physical_devices("GPU"):
            raise UserError(
                "device='gpu' needs a GPU that TensorFlow sees. Received: none. "
                'pip install "tensorflow[and-cuda]" brings what it needs on Linux'
            )
        tf.config.experimental.enable_tensor_float_32_execution(tf32)
        keras.config.set_dtype_policy(case["precision"])
        rows, tokens = case["rows"], case["tokens"]
        random = np.random.default_rng(0)
        count = rows * _BATCHES
        ids = random.integers(5, case["sizes"]["vocabulary_size"], (count, tokens))
        features = Features(
            ids.astype(np.int32).ravel(),
            np.zeros(count * tokens, np.int32),
            np.arange(count + 1) * tokens,
            random.integers(0, _CLASSES, count).astype(np.int32),
        )
        for kind in kinds:
            self._runs[kind] = self._make(kind, case, features)
        return {
            "trained_parameters": {
                kind: sum(int(np.prod(v.shape)) for v in model.trainable_variables)
                for kind, model in self._models.items()
            },
            "fill_seconds": self._fill,
        }

    def _make(self, kind: str, case: dict[str, Any], features: Any) -> Any:
        keras.utils.set_random_seed(0)
        verb, what = kind.split("_")
        what, _, cache = what.partition("-")
        adapter = None
        if what in ("adapters", "top"):
            blocks = case["sizes"]["num_layers"]
            adapter = AdapterConfig(
                case["bottleneck_dim"],
                # Not so near zero that the comparison of outputs would not see them,
                # nor so far that what is rounded grows from block to block.
                initializer_stddev=0.03,
                layers=tuple(range(blocks // 2, blocks)) if what == "top" else None,
            )
        backbone = BertAdapterBackbone(
            **case["sizes"], max_sequence_length=512, adapter=adapter
        )
        tuning = {"full": "full", "base": "head"}.get(what, "adapters")
        model = AdapterTextClassifier(backbone, _CLASSES, tuning=tuning)
        self._models[kind] = model
        if verb == "predict":
            predictor = Predictor(model, batch_size=case["rows"])
            return lambda steps: [predictor(features) for _ in range(steps // _BATCHES)]
        if cache:
            features = self._keep(kind, cache, model, features)
        config = TrainConfig(epochs=10**4, batch_size=case["rows"])
        trainer = AdapterTrainer(model, features, config)
        return lambda steps: trainer.train(tf.constant(steps))

    def _keep(self, kind: str, cache: str, model: Any, features: Any) -> Any:
        start = time.perf_counter()
        config = CacheConfig(cache, directory=self._scratch.name)
        prefix = FrozenPrefix.of(model)
        (kept,) = PrefixCache(config, show=False).rows(prefix, [features], passes=2)
        if kept is features:
            raise UserError(f"There is no room to keep hidden states: cache={cache}")
        self._fill[kind] = time.perf_counter() - start
        return kept

    def run(self, kind: str, steps: int) -> dict[str, float]:
        """Steps one after another: the seconds they took."""
        start, start_cpu = time.perf_counter(), time.process_time()
        self._runs[kind](steps)
        tf.test.experimental.sync_devices()
        return {
            "cpu": time.process_time() - start_cpu,
            "wall": time.perf_counter() - start,
        }

    def save(self, kind: str, path: str) -> dict[str, Any]:
        """Write the weights under PyTorch's names, to start the peer from."""
        model = self._models[kind]
        tensors: dict[str, Any] = torch_tensors(model.backbone, "task")
        kernel, bias = (v.numpy() for v in model.head_variables())
        np.savez(path, **tensors, **{"head.weight": kernel.T, "head.bias": bias})
        return {}

    def outputs(self, kind: str, ids: list[list[int]]) -> dict[str, Any]:
        """Logits of rows of token ids."""
        token_ids = np.array(ids, np.int32)
        x = {
            "token_ids": token_ids,
            "segment_ids": np.zeros_like(token_ids),
            "padding_mask": np.ones_like(token_ids),
        }
        outputs = self._models[kind](x, training=False)
        return {"logits": np.asarray(outputs, np.float64).tolist()}

    def memory(self, device: str = "cpu") -> dict[str, int]:
        """Bytes in use now, and at most until now: of the process, or on the GPU."""
        if device == "cpu":
            return {"resident": resident_bytes(), "peak": peak_bytes()}
        found = tf.config.experimental.get_memory_info("GPU:0")
        return {"resident": found["current"], "peak": found["peak"]}


def run_child() -> None:
    """Answer requests; `run.py --child steps_ours` runs it."""
    steps = Steps()
    names = ("make", "run", "save", "outputs", "memory")
    serve({name: getattr(steps, name) for name in names})


def torch_tensors(backbone: Any, adapter_name: str) -> dict[str, np.ndarray]:
    """All weights of an `AdapterBackbone` of BERT's kind.

    Args:
        backbone: With adapters or without.
        adapter_name: What the adapters are called there.

    Returns:
        Name in `transformers.BertModel` with AdapterHub's adapters -> float32 array,
        kernels as `[out, in]`.

    Raises:
        ValueError: if a variable has no name there.
    """
    values = {v.path: v.numpy() for v in backbone.weights}
    tensors = {
        tensor.hugging_face: tensor.to_hugging_face(values[tensor.path])
        for tensor in bert_tensors(backbone)
    }
    if backbone.adapter is not None:
        adapter = HubAdapter(adapter_name, backbone.adapter, scaling=1.0, dropout=0.0)
        names = tensor_names(adapter, backbone.hidden_dim, backbone.num_layers)
        for path, (name, _) in names.items():
            value = values[path]
            tensors[name] = value.T if path.endswith("/kernel") else value
    return {name: np.ascontiguousarray(value) for name, value in tensors.items()}
