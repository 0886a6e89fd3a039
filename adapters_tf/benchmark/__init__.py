"""Measurements that `adapters-tf-benchmark` runs and that others can repeat.

The last layer under the programs: a benchmark times all the others, and none of
them needs it.
"""
