"""What stands between the second and further texts of a row, in one string.

A module of its own, as the clients' examples need no tokenizer.
"""

# U+001E, the record separator of ASCII.
SEPARATOR = "\x1e"
