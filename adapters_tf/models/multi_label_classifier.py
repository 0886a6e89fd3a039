"""Any number of labels for a text."""

import keras

from adapters_tf.models.text_classifier import AdapterTextClassifier


@keras.saving.register_keras_serializable(package="adapters_tf")
class AdapterMultiLabelClassifier(AdapterTextClassifier):
    """Any number of labels, or none, for a text or a pair of texts.

    The head of `AdapterTextClassifier` with a sigmoid on each logit, trained on the
    mean of the labels' binary cross-entropies. Outputs are `[batch, num_classes]`
    float32 logits, of which those from 0 on (a probability of 0.5) mean "has the
    label"; labels are `[batch, num_classes]` floats of 0 and 1.

    Arguments as `AdapterTextClassifier`, but one class will do.
    """

    kind = "multi_label"
    min_classes = 1
    default_loss = staticmethod(
        lambda: keras.losses.BinaryCrossentropy(from_logits=True)
    )

    def default_metrics(self) -> list[keras.metrics.Metric]:
        return [keras.metrics.BinaryAccuracy(name="binary_accuracy", threshold=0.0)]
