"""Backbones with adapters, task models, and the adapter file."""
