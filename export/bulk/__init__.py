"""Predict with a servable's task for many files, as an Apache Beam pipeline."""
