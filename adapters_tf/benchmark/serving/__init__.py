"""Many tasks in one servable, against the plain base and separate models."""
