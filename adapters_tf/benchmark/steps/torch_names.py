"""Our variables as the tensors of a BERT in PyTorch, to compare on equal weights."""

from typing import Any

import numpy as np

from adapters_tf.convert.adapterhub import tensor_names
from adapters_tf.convert.adapterhub_config import HubAdapter
from adapters_tf.convert.bert import bert_tensors


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
