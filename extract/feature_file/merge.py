"""One feature file out of shards."""

from pathlib import Path

from data.errors import HeadstartError
from data.output.lock import locked
from data.output.place import check_parent, target_of, writing
from extract.feature_file.reader import FeatureFile, write_feature_file


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
    check_parent(path)
    rows = [(store, row) for row in range(len(store.contents.ids))]
    with writing(path, "or choose another output with -o"), locked(target_of(path)):
        write_feature_file(path, store.contents, rows)
    return FeatureFile(path).summary()
