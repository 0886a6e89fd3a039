"""How long it takes from the files to a dev metric, ours and the peer's."""
