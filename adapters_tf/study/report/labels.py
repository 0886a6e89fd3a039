"""Names of metrics and methods, and numbers, as readers see them."""

_METRICS = {
    "accuracy": ("accuracy", "%"),
    "f1": ("F1", "%"),
    "f1_micro": ("micro F1", "%"),
    "f1_macro": ("macro F1", "%"),
    "entity_f1": ("entity F1", "%"),
    "entity_precision": ("entity precision", "%"),
    "entity_recall": ("entity recall", "%"),
    "exact_match": ("exact match", "%"),
    "matthews": ("Matthews", "× 100"),
    "spearman": ("Spearman", "× 100"),
    "pearson": ("Pearson", "× 100"),
}

METHODS = {
    "adapters": "adapters",
    "full": "full fine-tuning",
    "top_n": "variable fine-tuning",
    "layer_norm": "LayerNorm only",
    "head": "head only",
    "no_bert": "no BERT",
}


def metric_label(metric: str) -> str:
    """A metric with the unit that reports use: `"accuracy (%)"`."""
    name, unit = _METRICS.get(metric, (metric, "× 100"))
    return f"{name} ({unit})"


def rate_text(rate: float) -> str:
    """A learning rate or a scale: `"3e-4"`, `"0.01"`."""
    mantissa, exponent, power = f"{rate:g}".partition("e")
    return f"{mantissa}e{int(power)}" if exponent else _small(mantissa)


def _small(text: str) -> str:
    # 3e-4, because 0.0003 and 3e-5 in one row are hard to compare.
    value = float(text)
    if 0 < value < 1e-2:
        mantissa, _, power = f"{value:e}".partition("e")
        return f"{float(mantissa):g}e{int(power)}"
    return text


def share_text(share: float) -> str:
    """A share of the base's parameters: `"2.67%"`, `"0.0034%"`."""
    return f"{share:.2%}" if share >= 1e-3 or share == 0 else f"{100 * share:.2g}%"
