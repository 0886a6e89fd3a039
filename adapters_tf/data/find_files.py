"""Public files in the folders that people keep them in."""

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
    """The files or folders of a data set, under any of their public names.

    Args:
        name: The data set, for messages.
        data_dir: The folder that holds those of the data sets, or its own folder.
        folders: Names that its own folder may have.
        choices: The names of its files, of which there may be several: a choice is
            taken where its first file exists.
        foreign: Names of other data sets' folders: a `data_dir` of such a name is not
            the data set's own folder.
        advice: What else the error says.

    Returns:
        The paths of the files of one choice, of which only the first surely exists.

    Raises:
        DataError: No choice is in any of the folders.
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
