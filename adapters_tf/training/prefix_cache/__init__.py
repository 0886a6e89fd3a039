"""Hidden states under the lowest trained block: computed once, read many times."""
