"""One feature file out of shards."""

from pathlib import Path

from data.errors import HeadstartError
from extract.lock import locked
from extract.store import FeatureFile, write_feature_file


def merge(folder: str | Path, path: str | Path) -> dict:
    """Write the rows of a sharded feature file into one file, equal to that of a run with one file.

    Parameters
    ----------
    folder : str or Path
        It stays as it is.
    path : str or Path
        The file to write; it must not exist.

    Returns
    -------
    dict
        `FeatureFile.summary` of the new file.

    Raises
    ------
    HeadstartError
        If a part is missing or damaged, or `path` exists or cannot be written.

    Examples
    --------
    >>> merge("photos.shards", "photos.h5")["rows"]  # doctest: +SKIP
    2002
    """
    store, path = FeatureFile(folder), Path(path)
    if path.exists():
        raise HeadstartError(
            f"{str(path)!r} exists", "the name of a new file", "one that is taken", "choose another with -o"
        )
    try:
        with locked(path):
            write_feature_file(path, store.contents, [(store, row) for row in range(len(store.contents.ids))])
    except OSError as error:
        raise HeadstartError(
            f"{str(path)!r} could not be written",
            "a disk with room, and a folder that may be written",
            " ".join(str(error).split())[:300],
            "mend that or choose another output with -o",
        ) from error
    return FeatureFile(path).summary()
