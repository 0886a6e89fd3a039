"""Whether every distribution strategy trains to the same weights."""
