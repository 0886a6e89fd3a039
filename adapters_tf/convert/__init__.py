"""Adapters and bases of other libraries, in and out; see docs/convert.md."""

from adapters_tf.convert.adapter_bert import (
    convert_from_adapter_bert as convert_from_adapter_bert,
)
from adapters_tf.convert.adapterhub import (
    convert_from_adapterhub as convert_from_adapterhub,
)
from adapters_tf.convert.adapterhub import (
    convert_to_adapterhub as convert_to_adapterhub,
)
from adapters_tf.convert.google_bert import convert_google_bert as convert_google_bert
from adapters_tf.convert.huggingface import convert_huggingface as convert_huggingface
