"""Inspect, compare, average and prune trained adapters."""

from adapters_tf.tools.editing import average_adapters as average_adapters
from adapters_tf.tools.editing import interpolate_adapters as interpolate_adapters
from adapters_tf.tools.editing import least_important_layers as least_important_layers
from adapters_tf.tools.editing import prune_adapter as prune_adapter
from adapters_tf.tools.inspection import AdapterDiff as AdapterDiff
from adapters_tf.tools.inspection import AdapterSummary as AdapterSummary
from adapters_tf.tools.inspection import diff_adapters as diff_adapters
from adapters_tf.tools.inspection import inspect_adapter as inspect_adapter
