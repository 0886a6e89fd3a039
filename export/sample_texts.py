"""Texts used to compare every export with the model in memory."""

SAMPLE_TEXTS = (
    "The committee approved the budget for next year without a single objection.",
    "ok",
    "Please call me back before 5pm, I still haven't received the tracking number!!",
    "Crème brûlée at a café near the Élysée costs €12.50, which is not naïve at all.",
    "Why did the flight from Boston to Denver leave two hours late?",
    "@airline thanks for the quick help 😀 #travel http://t.co/abc",
    "She sells sea shells. By the sea shore? Yes: by the sea shore.",
    "The experiment, which had been repeated eleven times under different temperatures "
    "and pressures, showed no significant relation between the two measurements, and "
    "so the authors concluded, somewhat reluctantly, that the earlier report had "
    "described an artefact of the instrument rather than a property of the material; "
    "a second group, working independently with samples from three other suppliers, "
    "reached the same conclusion a few months later, and the original article was "
    "withdrawn by its journal at the request of four of its six authors. " * 2,
)
"""Eight texts: short, long (over 128 tokens), with accents, emoji and a link."""

SAMPLE_PAIRS = tuple(SAMPLE_TEXTS[1:] + SAMPLE_TEXTS[:1])
"""A second text for each of `SAMPLE_TEXTS`."""
