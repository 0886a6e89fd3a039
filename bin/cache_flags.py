"""Flags of the cache of hidden states, and the `CacheConfig` that they describe."""

from typing import Any

from adapters_tf.bin.program import Groups
from adapters_tf.training.prefix_cache import CACHE_MODES, CacheConfig

CACHE_FLAGS = ("cache", "cache_gb")


def define_cache_flags(
    groups: Groups, default: str = "auto", modes: tuple[str, ...] = CACHE_MODES
) -> None:
    """Define the flags in the open group."""
    groups.choice("cache", default, modes, "of frozen blocks")
    groups.number("cache_gb", None, "its most gigabytes [half of what is free]")


def cache_config(flags: Any) -> CacheConfig:
    """Return the configuration that the flags describe."""
    return CacheConfig(flags.cache, flags.cache_gb)
