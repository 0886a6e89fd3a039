"""Parameter counts of the paper's shapes, exactly."""

import math

import keras
import pytest
from keras.src.backend.common import global_state

from adapters_tf.adapters import AdapterConfig
from adapters_tf.models.backbones import BertAdapterBackbone
from adapters_tf.models.trainable_set import ParameterCounts, count_parameters
from adapters_tf.tasks.classification import AdapterTextClassifier

SHAPES = {
    "MiniLM": {"num_layers": 6, "num_heads": 12, "hidden_dim": 384},
    "BERT-base": {"num_layers": 12, "num_heads": 12, "hidden_dim": 768},
    "BERT-large": {"num_layers": 24, "num_heads": 16, "hidden_dim": 1024},
}
INTERMEDIATE_FACTOR, VOCABULARY, POSITIONS = 4, 30522, 512


def unallocated_backbone(shape, adapter):
    """A backbone of full size whose variables have a shape and no memory."""
    sizes = SHAPES[shape]
    with keras.StatelessScope(initialize_variables=False):
        backbone = BertAdapterBackbone(
            vocabulary_size=VOCABULARY,
            intermediate_dim=sizes["hidden_dim"] * INTERMEDIATE_FACTOR,
            max_sequence_length=POSITIONS,
            adapter=adapter,
            **sizes,
        )
    # Else Keras would allocate the gigabytes when some later scope ends. Its public
    # clear_session would also take the tokenizers of other tests away.
    global_state.set_global_attribute("uninitialized_variables", [])
    return backbone


def size(variables):
    return sum(math.prod(v.shape) for v in variables)


@pytest.mark.parametrize(
    "shape, m",
    [
        ("MiniLM", 64),
        ("BERT-base", 2),
        ("BERT-base", 64),
        ("BERT-large", 8),
        ("BERT-large", 256),
    ],
)
def test_adapters_and_layer_norms(shape, m):
    d, layers = SHAPES[shape]["hidden_dim"], SHAPES[shape]["num_layers"]
    backbone = unallocated_backbone(shape, AdapterConfig(m))
    adapters = backbone.adapter_variables()
    assert size(adapters) == layers * 2 * (2 * m * d + d + m)
    assert len(adapters) == layers * 2 * 4
    norms = [v for v in backbone.weights if v.path.endswith(("gamma", "beta"))]
    assert size(norms) == (2 * layers + 1) * 2 * d
    # Published sizes: 110M and 335M parameters (with the pooler).
    expected = {"MiniLM": 22713216, "BERT-base": 109482240, "BERT-large": 335141888}
    assert size(backbone.base_variables()) == expected[shape]


def test_variants():
    d, m = 768, 64
    one_sublayer = AdapterConfig(m, sublayers=("feed_forward",), layers=(0, 11))
    backbone = unallocated_backbone("BERT-base", one_sublayer)
    assert size(backbone.adapter_variables()) == 2 * (2 * m * d + d + m)
    none = unallocated_backbone("BERT-base", None)
    assert none.adapter_variables() == []


def test_table_of_a_model(adapted, plain):
    model = AdapterTextClassifier(adapted(), num_classes=3)
    counts = count_parameters(model)
    norms, head = (2 * 2 + 1) * 2 * 16, 16 * 3 + 3
    adapters = 2 * 2 * (2 * 4 * 16 + 16 + 4)
    assert counts == ParameterCounts(
        base=plain.count_params(),
        adapters=adapters,
        head=head,
        trained=adapters + norms + head,
    )


def test_table_as_text():
    counts = ParameterCounts(base=1000, adapters=20, head=3, trained=30)
    assert counts.total(9) == 1.27
    assert counts.table((1, 9)).splitlines() == [
        "                       parameters  of base",
        "base                        1,000  100.00%",
        "adapters                       20    2.00%",
        "head                            3    0.30%",
        "trained for this task          30    3.00%",
        "total for 1 task            1,030    1.03x",
        "total for 9 tasks           1,270    1.27x",
    ]
