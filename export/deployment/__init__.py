"""Files, warm-up and checks to serve a servable with stock TensorFlow Serving.

Nothing here uses Keras; the protos of TensorFlow Serving come from
`tensorflow-serving-api`, which is imported where it is used.
"""

from adapters_tf.export.deployment.config_files import (
    DEFAULT_MODEL_NAME as DEFAULT_MODEL_NAME,
)
from adapters_tf.export.deployment.config_files import (
    BatchingSettings as BatchingSettings,
)
from adapters_tf.export.deployment.examples import Examples as Examples
from adapters_tf.export.deployment.examples import default_examples as default_examples
from adapters_tf.export.deployment.op_check import unsupported_ops as unsupported_ops
from adapters_tf.export.deployment.replay import replay_warmup as replay_warmup
from adapters_tf.export.deployment.session import ServingSession as ServingSession
from adapters_tf.export.deployment.signatures import (
    read_servable_json as read_servable_json,
)
from adapters_tf.export.deployment.signatures import read_signatures as read_signatures
from adapters_tf.export.deployment.warmup import Warmup as Warmup
from adapters_tf.export.deployment.warmup import warmup_records as warmup_records
from adapters_tf.export.deployment.warmup import write_warmup as write_warmup
from adapters_tf.export.deployment.write import write_deployment as write_deployment
