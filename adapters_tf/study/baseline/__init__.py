"""The baseline without BERT: a search over small text models."""
