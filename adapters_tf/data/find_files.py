"""Find the public files of data sets in the user's folders."""

import os
import pathlib
from collections.abc import Collection, Sequence

from adapters_tf.errors import DataError


def find_public_files(
    name: str,
    data_dir: str | os.PathLike[str],
    folders: Sequence[str],
    choices: Sequence[Sequence[str]],
    foreign: Collection[str] = (),
    advice: str = "",
) -> list[pathlib.Path]:
    """Find the files or folders of a data set, under any of their public names.

    Args:
        name: The data set, for messages.
        data_dir: The folder of all data sets' folders, or the data set's own folder.
        folders: Possible names of the data set's own folder.
        choices: Alternative lists of file names; the first list whose first file exists
            is used.
        foreign: Names of other data sets' folders; a `data_dir` with such a name is not
            the data set's own folder.
        advice: Further text for the error.

    Returns:
        The paths of the files of one choice; only the first is known to exist.

    Raises:
        DataError: if no choice is in any of the folders.
    """
    root = pathlib.Path(data_dir)
    places = [root / folder for folder in dict.fromkeys(folders)]
    if root.name not in foreign:
        places.append(root)
    for place in places:
        for files in choices:
            if (place / files[0]).exists():
                return [place / file for file in files]
    known = " or ".join(" and ".join(files) for files in choices)
    missing = "there is none" if root.is_dir() else "there is no folder"
    raise DataError(
        f"The data of {name} must be {known} in one of "
        f"{', '.join(map(str, places))}. Received: data_dir={data_dir}, where {missing}"
        + (f". {advice}" if advice else "")
    )
