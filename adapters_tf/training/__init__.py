"""The trainer, and saved adapters in use; on TensorFlow alone."""

from adapters_tf.backends import require_tensorflow

require_tensorflow("adapters_tf.training")
