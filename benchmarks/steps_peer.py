"""The peer's steps: `PYTHON peer.py`, with torch, transformers and adapters.

Not part of the library's own process: it is run by the Python that `--peer_python`
names, and imports nothing of this library. Its requests are those of `ours.py`.
"""

import json
import os
import sys
import time
from typing import Any

import numpy as np

_BATCHES = 8
_CLASSES = 2


class Steps:
    def __init__(self) -> None:
        import adapters

        # What they import when it is asked for: memory counts from here.
        import adapters.models.bert.mixin_bert
        import torch
        import transformers
        import transformers.models.bert.modeling_bert

        self.torch = torch
        self.versions = {
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "adapters": adapters.__version__,
        }
        self.runs: dict[str, Any] = {}
        self.models: dict[str, Any] = {}

    def make(
        self,
        case: dict[str, Any],
        kinds: list[str],
        threads: int,
        weights: dict[str, str] | None = None,
        device: str = "cpu",
        tf32: bool = False,
    ) -> dict[str, Any]:
        torch = self.torch
        torch.set_num_threads(threads)
        if device == "gpu" and not torch.cuda.is_available():
            raise ValueError("device='gpu' needs a GPU that PyTorch sees")
        self.device = "cuda" if device == "gpu" else "cpu"
        torch.backends.cuda.matmul.allow_tf32 = tf32
        torch.backends.cudnn.allow_tf32 = tf32
        count = case["rows"] * _BATCHES
        random = np.random.default_rng(0)
        self.ids = torch.from_numpy(
            random.integers(
                5, case["sizes"]["vocabulary_size"], (count, case["tokens"])
            )
        ).to(self.device)
        labels = torch.from_numpy(random.integers(0, _CLASSES, count))
        self.labels = labels.to(self.device)
        for kind in kinds:
            self.runs[kind] = self._make(kind, case, (weights or {}).get(kind))
        return {
            "versions": self.versions,
            "trained_parameters": {
                kind: sum(p.numel() for p in model.parameters() if p.requires_grad)
                for kind, model in self.models.items()
            },
        }

    def _build(self, what: str, case: dict[str, Any]) -> Any:
        import adapters
        import torch
        import transformers

        sizes = case["sizes"]
        config = transformers.BertConfig(
            vocab_size=sizes["vocabulary_size"],
            hidden_size=sizes["hidden_dim"],
            num_hidden_layers=sizes["num_layers"],
            num_attention_heads=sizes["num_heads"],
            intermediate_size=sizes["intermediate_dim"],
            max_position_embeddings=512,
            hidden_act="gelu_pytorch_tanh",
            layer_norm_eps=1e-12,
        )
        encoder = transformers.BertModel(config, add_pooling_layer=False)
        if what == "adapters":
            adapters.init(encoder)
            d, m = sizes["hidden_dim"], case["bottleneck_dim"]
            bottleneck = adapters.BnConfig(
                mh_adapter=True,
                output_adapter=True,
                reduction_factor=d / (m + 0.5),
                non_linearity="gelu",  # its tanh form, as ours
                original_ln_before=False,
                original_ln_after=True,
                ln_before=False,
                ln_after=False,
                residual_before_ln=True,
                adapter_residual_before_ln=False,
            )
            encoder.add_adapter("task", config=bottleneck)
            encoder.train_adapter("task")
            for name, value in encoder.named_parameters():
                if "LayerNorm" in name:
                    value.requires_grad_(True)
        elif what == "base":
            encoder.requires_grad_(False)

        class Classifier(torch.nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.encoder = encoder
                self.dropout = torch.nn.Dropout(0.1)
                self.head = torch.nn.Linear(sizes["hidden_dim"], _CLASSES)

            def forward(self, ids: Any) -> Any:
                mask = torch.ones_like(ids)
                hidden = self.encoder(input_ids=ids, attention_mask=mask)[0]
                return self.head(self.dropout(hidden[:, 0]))

        return Classifier()

    def _load(self, model: Any, weights: str) -> None:
        with np.load(weights) as arrays:
            given = {k: arrays[k] for k in arrays.files if not k.startswith("pooler.")}
        wanted = dict(model.encoder.named_parameters())
        wanted |= {f"head.{k}": v for k, v in model.head.named_parameters()}
        if set(wanted) != set(given):
            raise ValueError(f"other tensors: {sorted(set(wanted) ^ set(given))}")
        with self.torch.no_grad():
            for name, value in wanted.items():
                if tuple(value.shape) != given[name].shape:
                    raise ValueError(f"{name}: {value.shape}, {given[name].shape}")
                value.copy_(self.torch.from_numpy(given[name]))

    def _make(self, kind: str, case: dict[str, Any], weights: Any) -> Any:
        torch = self.torch
        torch.manual_seed(0)
        verb, what = kind.split("_")
        model = self._build(what, case)
        if weights:
            self._load(model, weights)
        model.to(self.device)
        self.models[kind] = model
        autocast = torch.autocast(
            self.device, torch.bfloat16, enabled=case["precision"] == "mixed_bfloat16"
        )
        rows = case["rows"]

        def batch(step: int) -> tuple[Any, Any]:
            first = step % _BATCHES * rows
            return self.ids[first : first + rows], self.labels[first : first + rows]

        def predict(steps: int) -> None:
            model.eval()
            with torch.inference_mode(), autocast:
                for step in range(steps):
                    model(batch(step)[0])

        if verb == "predict":
            return predict
        trained = [p for p in model.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(trained, lr=1e-3, weight_decay=0.01)

        def train(steps: int) -> None:
            model.train()
            for step in range(steps):
                ids, labels = batch(step)
                optimizer.zero_grad()
                with autocast:
                    loss = torch.nn.functional.cross_entropy(model(ids), labels)
                loss.backward()
                torch.nn.utils.clip_grad_norm_(trained, 1.0)
                optimizer.step()

        return train

    def run(self, kind: str, steps: int) -> dict[str, float]:
        start, start_cpu = time.perf_counter(), time.process_time()
        self.runs[kind](steps)
        if self.device == "cuda":
            self.torch.cuda.synchronize()
        return {
            "cpu": time.process_time() - start_cpu,
            "wall": time.perf_counter() - start,
        }

    def outputs(self, kind: str, ids: list[list[int]]) -> dict[str, Any]:
        model = self.models[kind].eval()
        with self.torch.inference_mode():
            logits = model(self.torch.tensor(ids, device=self.device))
        return {"logits": logits.double().tolist()}

    def memory(self, device: str = "cpu") -> dict[str, int]:
        if device == "gpu":
            cuda = self.torch.cuda
            now, most = cuda.memory_allocated(), cuda.max_memory_allocated()
            return {"resident": now, "peak": most}
        with open("/proc/self/status") as file:
            found = dict(line.split(":", 1) for line in file)
        # Not the peak of getrusage, which starts at that of the parent.
        now, most = (1024 * int(found[key].split()[0]) for key in ("VmRSS", "VmHWM"))
        return {"resident": now, "peak": most}


def main() -> None:
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    steps = None
    for line in sys.stdin:
        request = json.loads(line)
        try:
            steps = steps or Steps()
            answer = getattr(steps, request.pop("op"))(**request)
        except (ImportError, ValueError) as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        replies.write(json.dumps(answer) + "\n")
        replies.flush()
