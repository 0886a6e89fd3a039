"""Text files, decoded with errors that say what to do."""

import codecs
import difflib
import os
import pathlib
import re

from adapters_tf.errors import DataError


def read_text(path: str | os.PathLike[str], encoding: str = "utf-8-sig") -> str:
    """The decoded content of a file, without a byte-order mark.

    Raises:
        DataError: The file is missing, a directory, unreadable, empty, not in
            this encoding, or holds NUL bytes.
    """
    file = pathlib.Path(path)
    try:
        raw = file.read_bytes()
    except FileNotFoundError:
        raise DataError(
            f"A data file must exist. Received: {path}{_near(file)}"
        ) from None
    except IsADirectoryError:
        inside = sorted(os.listdir(file))[:10]
        raise DataError(
            f"A data file must be a file. Received the directory {path}, "
            f"which holds {inside}"
        ) from None
    except PermissionError:
        raise DataError(
            f"A data file must be readable. Received: {path}, to which this user "
            "has no access. Change its permissions, as with chmod u+r"
        ) from None
    except OSError as error:
        raise DataError(
            f"A data file must be readable. Received: {path}: {error}"
        ) from None
    text = _decode(raw, encoding, str(path))
    if not text.strip():
        raise DataError(f"A data file must hold rows. Received the empty file {path}")
    if "\0" in text:
        line = 1 + len(re.findall(r"\r\n|\r|\n", text[: text.index("\0")]))
        raise DataError(
            f"A data file must be text. Received: {path}, line {line}, which holds a "
            "NUL byte. A file saved as 'Unicode' needs --encoding=utf-16; otherwise "
            "this is no text file"
        )
    return text


def utf8_or(path: str | os.PathLike[str], other: str) -> str:
    """`"utf-8-sig"` if all of a file is UTF-8, else `other`.

    A file that cannot be opened is left for `read_text` to complain of.
    """
    try:
        with open(path, encoding="utf-8") as file:
            while file.read(1 << 20):
                pass
    except UnicodeError:
        return other
    except OSError:
        pass
    return "utf-8-sig"


def _decode(raw: bytes, encoding: str, path: str) -> str:
    utf16 = raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        # The plain codec, because utf-8-sig counts error offsets from behind the mark.
        is_utf8 = codecs.lookup(encoding).name in ("utf-8", "utf-8-sig")
        return raw.decode("utf-8" if is_utf8 else encoding).removeprefix("\ufeff")
    except LookupError:
        raise DataError(
            "encoding must be a text encoding that Python knows, such as utf-8, "
            f"latin-1, cp1252 or utf-16. Received: encoding={encoding!r}"
        ) from None
    except UnicodeError as error:
        at = getattr(error, "start", 0)
        line = 1 + len(re.findall(rb"\r\n|\r|\n", raw[:at]))
        hint = "utf-16" if utf16 else "latin-1"
        raise DataError(
            f"The file must be in the encoding {encoding}. Received: {path}, whose "
            f"byte {raw[at : at + 1].hex() or '?'} at byte offset {at} (line {line}) "
            f"is not. Try --encoding={hint}"
        ) from None


def _near(file: pathlib.Path) -> str:
    try:
        names = os.listdir(file.parent)
    except OSError:
        return f", whose directory {file.parent} does not exist or is unreadable"
    close = difflib.get_close_matches(file.name, names, n=1)
    return f". Did you mean {file.parent / close[0]}?" if close else ""
