"""The place of the SavedModel exporter, which is not part of this release."""
