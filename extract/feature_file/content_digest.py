"""The digest of a whole feature file, the same for both layouts."""

import hashlib
import json

import h5py
import numpy as np

from extract.feature_file.hdf5 import (
    as_json,
)
from extract.feature_file.reader import FORMAT


def content_digest(file: h5py.File) -> str:
    """Return the sha256 over every data set and attribute, features through their checksums.

    It is the same for both layouts: where a row lies is not part of it.
    """
    total = hashlib.sha256()
    for name, value in sorted(file.attrs.items()):
        if name != "content_digest":
            total.update(as_json([name, FORMAT if name == "format" else str(value)]).encode())
    sets = _data_sets(file)
    for name in sorted(sets):
        total.update(as_json([name, *sets[name]]).encode())
        if not name.startswith("features/"):
            total.update(file[name][()].tobytes())
    return total.hexdigest()


def _data_sets(file: h5py.File) -> dict[str, tuple[str, list[int]]]:
    """Return type and shape of each data set; an index tells those of the features in its parts."""
    sets: dict[str, tuple[str, list[int]]] = {}

    def note(name: str, item: h5py.Group | h5py.Dataset) -> None:
        if isinstance(item, h5py.Dataset) and not name.startswith("shards/"):
            sets[name] = (item.dtype.str, list(item.shape))

    file.visititems(note)
    if "shards" in file:
        dtype = np.dtype(json.loads(file.attrs["recipe"])["dtype"]).str
        rows = len(file["ids"])
        sets |= {f"features/{name}": (dtype, [rows, len(probe)]) for name, probe in file["probe"].items()}
    return sets
