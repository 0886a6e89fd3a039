"""Benchmarks that anyone can repeat: `python benchmarks/run.py JOB`.

They time the installed package and are not part of it: each job is a module here,
docs/benchmarks.md describes them, and `run.py` makes this folder importable.
"""
