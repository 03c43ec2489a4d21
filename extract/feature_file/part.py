"""Parts: what a run keeps until its feature file is complete."""

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import h5py
import numpy as np

from data.images import ImageError
from extract.feature_file.digests import digest_array, split_digests
from extract.feature_file.hdf5 import (
    DAMAGED,
    REASON_BYTES,
    Store,
    as_json,
    created,
    row_checksums,
    text_array,
)
from extract.feature_file.part_names import part_name
from extract.recipe import EngineInfo, Recipe

PART_FORMAT = "headstart part"
KEEP_SECONDS = 5  # of work that a kill may cost, while a part grows


class PartFile(Store):
    """Features of some images by their digest; what a run keeps until it is complete."""

    remedy = "remove {path}: its images are then computed again"

    def __init__(self, path: Path) -> None:
        self.path = path
        with h5py.File(path) as file:
            if file.attrs.get("format") != PART_FORMAT:
                raise OSError(f"{path} is not a part")
            self.digests = file["digests"][:]
            self._read(file)
            self.recipe_key = file.attrs["recipe_key"]
            self._engine = EngineInfo.from_dict(json.loads(file.attrs["engine"]))
            rejected = zip(file["rejected/digest"][:], file["rejected/reason"][:], strict=True)
            self._rejected = {digest.tobytes(): reason.decode() for digest, reason in rejected}

    @property
    def rejected(self) -> dict[bytes, str]:
        """Reasons by digest, of images that cannot be decoded."""
        return self._rejected

    def engine(self, row: int) -> EngineInfo:
        """Return what computed a row: the same for all rows of a part."""
        return self._engine

    @property
    def engines(self) -> tuple[EngineInfo, ...]:
        """What computed its rows: one."""
        return (self._engine,)

    def engines_at(self, rows: np.ndarray) -> tuple[Sequence[EngineInfo], np.ndarray]:
        """Return the engine, and zeros."""
        return (self._engine,), np.zeros(len(rows), int)

    def in_parts(self, folder: Path, rows: np.ndarray) -> tuple[Sequence[str], np.ndarray, np.ndarray] | None:
        """Return the name of the part, zeros, and the rows themselves, if it lies in the folder."""
        return ((self.path.name,), np.zeros(len(rows), int), rows) if self.path.parent == folder else None


def write_part(
    path: Path,
    recipe: Recipe,
    engine: EngineInfo,
    probe: Sequence[np.ndarray],
    rows: Mapping[bytes, Sequence[np.ndarray]],
    rejected: Mapping[bytes, str],
) -> None:
    """Write one part aside, sync it, and give it its name.

    Parameters
    ----------
    path : Path
    recipe : Recipe
    engine : EngineInfo
        What computed the rows.
    probe : sequence of ndarray of shape (D,)
        The feature of the probe image, one array for each layer of the recipe.
    rows : dict of bytes to sequence of ndarray of shape (D,)
        Features by digest, likewise.
    rejected : dict of bytes to str
        Reasons by digest.
    """
    size = sum(array.nbytes for layers in rows.values() for array in layers)
    with created(path, size + 200 * (len(rows) + len(rejected))) as file:
        file.attrs.update(format=PART_FORMAT, recipe_key=recipe.key, engine=as_json(engine.to_dict()))
        file["digests"] = digest_array(list(rows))
        for number, name in enumerate(recipe.layers):
            features = [layers[number] for layers in rows.values()]
            block = np.array(features, recipe.dtype).reshape(-1, len(probe[number]))
            file[f"features/{name}"] = block
            file[f"checksums/{name}"] = row_checksums(block, digest_array(list(rows)))
            file[f"probe/{name}"] = probe[number]
        file["rejected/digest"] = digest_array(list(rejected))
        file["rejected/reason"] = text_array(list(rejected.values()), REASON_BYTES)


WritesPart = Callable[[str, dict[bytes, Sequence[np.ndarray]], dict[bytes, str]], Path | None]


class GrowingPart:
    """Rows of a part as they are finished; the new ones are kept every few seconds in a small part.

    So little is lost however the process ends, and nothing is written more than twice: once the
    part is whole, the small ones go. What leaves its context by an error, Ctrl-C among them,
    keeps what is finished.

    Parameters
    ----------
    write : callable
        ``write(name, rows, rejected)`` writes a part, as `write_part` takes it, and returns its path.
    whole : bool
        Keep nothing before the part is whole.

    Attributes
    ----------
    rows : dict of bytes to list of ndarray
        Features by digest.
    rejected : dict of bytes to str
        Reasons by digest.

    Examples
    --------
    >>> with GrowingPart(lambda name, rows, rejected: print(name, list(rows))) as part:
    ...     part.add([(b"a digest", [np.ones(2)])])
    ...     part.close("whole.h5")
    whole.h5 [b'a digest']
    """

    def __init__(self, write: WritesPart, whole: bool = False) -> None:
        self.rows: dict[bytes, Sequence[np.ndarray]] = {}
        self.rejected: dict[bytes, str] = {}
        self._write, self._whole = write, whole
        self._new: dict[bytes, Sequence[np.ndarray]] = {}
        self._small: set[Path] = set()
        self._kept_at = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind:
            with suppress(Exception):  # the error that led here is the one to tell
                self._keep()

    def add(self, finished: Iterable[tuple[bytes, Sequence[np.ndarray] | ImageError]]) -> None:
        """Take what is finished; keep all that is new if it is time."""
        for digest, result in finished:
            if isinstance(result, ImageError):
                self.rejected[digest] = str(result)
            else:
                self.rows[digest] = self._new[digest] = result
        if time.monotonic() - self._kept_at >= KEEP_SECONDS:
            self._keep()

    def close(self, name: str) -> None:
        """Write the whole part, then remove the small ones."""
        whole = self._write(name, self.rows, self.rejected)
        self._new = {}
        for path in self._small:
            if path != whole:
                path.unlink()

    def _keep(self) -> None:
        if self._new and not self._whole:
            if small := self._write(part_name(self._new), self._new, {}):
                self._small.add(small)
            self._new = {}
        self._kept_at = time.monotonic()


def count_rows(paths: Iterable[Path]) -> int:
    """Return how many different images have a feature in parts; damaged ones count nothing."""
    digests: set[bytes] = set()
    for path in paths:
        with suppress(*DAMAGED), h5py.File(path) as file:
            digests.update(split_digests(file["digests"][:]))
    return len(digests)
