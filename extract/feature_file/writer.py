"""A complete feature file is written: aside, synced, named; also out of shards."""

from collections.abc import Callable, Iterable
from pathlib import Path

import h5py
import numpy as np

from data.errors import HeadstartError
from data.output.atomic import target_of
from data.output.checks import check_parent
from data.output.disk import writing
from data.output.lock import locked
from data.splits import SPLIT_NAMES
from extract.feature_file.content_digest import content_digest
from extract.feature_file.contents import Contents
from extract.feature_file.digests import digest_array
from extract.feature_file.hdf5 import REASON_BYTES, Store, as_json, created, text_array
from extract.feature_file.places import Places, gathered
from extract.feature_file.reader import COLUMNS, FORMAT, FORMAT_VERSION, FeatureFile
from extract.feature_file.shards import INDEX, INDEX_FORMAT, Shards, placed

_WITHOUT_RULE = 1  # the format version of files whose splits are hashes, which earlier programs keep


def write_feature_file(
    path: Path,
    contents: Contents,
    rows: Iterable[tuple[Store, int]],
    layout: str = "single",
    last: Callable[[], None] = lambda: None,
) -> None:
    """Write a complete feature file aside, sync it, and give it its name.

    Parameters
    ----------
    path : Path
    contents : Contents
    rows : Places, or iterable of (Store, int)
        Where the features of each row are.
    layout : str
        ``single``, or ``sharded``: `path` is then a folder, in which parts that hold rows stay
        where they are, rows from elsewhere are copied into parts, and the index is written last.
    last : callable
        Called when all is written, and the file has not its name yet.

    Raises
    ------
    HeadstartError
        If a row is not what was stored, so that damage is never given a new checksum.
    """
    rows = Places.of(rows)
    if layout == "sharded":
        path.mkdir(parents=True, exist_ok=True)
        shards = Shards(path, *placed(path, contents, rows), contents.digests)
        _write_index(path, contents, rows, shards, last)
        return
    first = rows[0][0]
    row = sum(probe.nbytes for probe in first.probe.values()) + 200
    with created(path, row * len(rows)) as file:
        _write_contents(file, contents)
        for name in first.outputs:
            shape = (len(rows), len(first.probe[name]))
            target = file.create_dataset(f"features/{name}", shape, contents.recipe.dtype)
            sums = np.empty((len(rows), 16), np.uint8)
            for chosen, block, stored in gathered(rows, name, contents):
                target[chosen], sums[chosen] = block, stored
            file[f"checksums/{name}"] = sums
            file[f"probe/{name}"] = first.probe[name]
        file.attrs["content_digest"] = content_digest(file)
        last()


def _write_index(
    folder: Path,
    contents: Contents,
    rows: Places,
    shards: Shards,
    last: Callable[[], None],
) -> None:
    with created(folder / INDEX, 300 * len(rows)) as file:
        _write_contents(file, contents, INDEX_FORMAT)
        for name in rows[0][0].outputs:
            sums = np.empty((len(rows), 16), np.uint8)
            for store, numbers, of_store in rows.by_store():
                sums[numbers] = store.checksums[name][of_store]
            file[f"checksums/{name}"] = sums
            file[f"probe/{name}"] = rows[0][0].probe[name]
        file["shards/names"] = text_array(shards.names)
        file["shards/part"], file["shards/row"] = shards.part, shards.row
        file.attrs["content_digest"] = content_digest(file)
        last()


def _write_contents(file: h5py.File, contents: Contents, form: str = FORMAT) -> None:
    file.attrs.update(
        format=form,
        format_version=FORMAT_VERSION if contents.split_rule.is_stratified else _WITHOUT_RULE,
        recipe=contents.recipe.to_json(),
        recipe_key=contents.recipe.key,
        source=as_json(contents.source),
        weights=as_json(contents.weights),
        class_names=as_json(contents.class_names),
        split_names=as_json(SPLIT_NAMES),
        source_rows=len(contents.ids) + len(contents.rejected),
        engines=as_json([engine.to_dict() for engine in contents.engines]),
    )
    if contents.split_rule.is_stratified:
        file.attrs["split_rule"] = as_json(contents.split_rule.to_dict())
    file["ids"] = text_array(contents.ids)
    for name in COLUMNS:
        file[name] = getattr(contents, name)
    if contents.groups:
        file["groups"] = text_array(contents.groups)
    file["rejected/id"] = text_array([row.id for row in contents.rejected])
    file["rejected/digest"] = digest_array([row.digest for row in contents.rejected])
    file["rejected/reason"] = text_array([row.reason for row in contents.rejected], REASON_BYTES)
    if contents.split_rule.is_stratified:
        file["rejected/split"] = np.array([row.split for row in contents.rejected], np.int8)


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
    with writing(path, "or choose another output with -o"), locked(target_of(path)):
        write_feature_file(path, store.contents, Places.whole(store))
    return FeatureFile(path).summary()
