"""The commands on the pages of the documentation, and on README's."""

import itertools
import pathlib
import re
import shlex

ROOT = pathlib.Path(__file__).parent.parent
BENCHMARKS = "python benchmarks/run.py"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def commands(text):
    """Each command of the fenced shell blocks that is a program of ours, as words."""
    for block in re.findall(r"^```sh\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        block = re.sub(r"(^|\s)#.*", "", block.replace("\\\n", " "))
        lexer = shlex.shlex(block, posix=True, punctuation_chars="|&;<>\n")
        lexer.whitespace, lexer.whitespace_split = " \t", True
        for end, words in itertools.groupby(lexer, lambda w: not w.strip("|&;<>\n")):
            words = list(words)
            # Settings of the environment come first.
            while words and re.fullmatch(r"[A-Z_]+=.*", words[0], re.DOTALL):
                words.pop(0)
            if end or not words:
                continue
            if "adapters-tf-" in words[0]:
                yield [pathlib.Path(words[0]).name, *words[1:]]
            elif words[:2] == BENCHMARKS.split():
                yield [BENCHMARKS, *words[2:]]
