"""Hidden states under the lowest trained block: computed once, kept, read again."""
