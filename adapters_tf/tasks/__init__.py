"""Kinds of tasks, with their models, metrics and outputs, and sources of rows."""

from adapters_tf.tasks.build import build_model as build_model
from adapters_tf.tasks.build import load_model as load_model
from adapters_tf.tasks.classification import (
    AdapterTextClassifier as AdapterTextClassifier,
)
from adapters_tf.tasks.multi_label import (
    AdapterMultiLabelClassifier as AdapterMultiLabelClassifier,
)
from adapters_tf.tasks.question_answering import (
    AdapterQuestionAnswerer as AdapterQuestionAnswerer,
)
from adapters_tf.tasks.regression import AdapterTextRegressor as AdapterTextRegressor
from adapters_tf.tasks.token_classification import (
    AdapterTokenClassifier as AdapterTokenClassifier,
)
