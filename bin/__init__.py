"""The programs: one module each, run as `adapters-tf-<module>` once installed."""
