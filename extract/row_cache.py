"""Rows of features by digest that outlive one call: in part files of a folder, or in this process."""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from functools import lru_cache
from pathlib import Path

import numpy as np

from data.output.atomic import half_written
from data.output.disk import writing
from data.output.lock import locked
from extract.feature_file.digests import split_digests
from extract.feature_file.hdf5 import DAMAGED, row_checksums
from extract.feature_file.part import PartFile, write_part
from extract.feature_file.part_names import part_name
from extract.recipe import EngineInfo, Probe, Recipe

_ABANDONED = 86_400  # seconds after which a half-written file belongs to no living process
_log = logging.getLogger("headstart.cache")


class FolderRows:
    """Features of one recipe in part files: ``FOLDER/<recipe key>/<name>.h5``.

    Every file is complete once it has its name, and none is ever changed, so any number of
    processes may read and write; what is damaged is passed over, with a warning.

    Parameters
    ----------
    folder : str or Path
        Shared by recipes; made when the first rows are kept.
    recipe : Recipe
    """

    def __init__(self, folder: str | Path, recipe: Recipe) -> None:
        self._recipe = recipe
        self._folder = Path(folder).absolute() / recipe.key

    def find(self, digests: Iterable[bytes]) -> dict[bytes, Sequence[np.ndarray]]:
        """Return the features that are known, one array (D,) for each layer of the recipe.

        Parameters
        ----------
        digests : iterable of bytes
            Sha256 of encoded images.
        """
        wanted = set(digests)
        found: dict[bytes, Sequence[np.ndarray]] = {}
        for part, places in self._parts():
            rows = {digest: places[digest] for digest in wanted & places.keys()}
            if rows:
                found |= self._sound(part, rows)
                wanted -= found.keys()
        return found

    def probes(self) -> list[Probe]:
        """Return the probe of each part, for `extract.engines.probe.check_probes`."""
        return [part.probe_of() for part, places in self._parts() if places]

    def keep(
        self, engine: EngineInfo, probe: Sequence[np.ndarray], rows: Mapping[bytes, Sequence[np.ndarray]]
    ) -> Path:
        """Write rows as one part, named by their digests, and return its path.

        Parameters
        ----------
        engine : EngineInfo
            What computed them.
        probe : sequence of ndarray of shape (D,)
            The feature of the probe image, one array for each layer.
        rows : dict of bytes to sequence of ndarray of shape (D,)

        Raises
        ------
        HeadstartError
            If the folder cannot be written.
        """
        path = self._folder / part_name(rows)
        with self._writing():
            write_part(path, self._recipe, engine, probe, rows, {})
        return path

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from computing by the same recipe for the same folder.

        Raises
        ------
        HeadstartError
            If the folder cannot be written.
        """
        with ExitStack() as stack:
            with self._writing():
                self._folder.mkdir(parents=True, exist_ok=True)
                stack.enter_context(locked(self._folder))
                for half in half_written(self._folder / "*.h5", idle=_ABANDONED):
                    half.unlink()
            yield

    def _parts(self) -> Iterator[tuple[PartFile, dict[bytes, int]]]:
        for path in sorted(self._folder.glob("*.h5")):
            try:
                stat = path.stat()
                part, places = _opened(path, stat.st_mtime_ns, stat.st_size)
                if part.recipe_key != self._recipe.key:
                    raise ValueError(f"of another recipe, {part.recipe_key}")
                for layer in self._recipe.layers:
                    if part.checksums[layer].shape != (len(places), 16) or layer not in part.probe:
                        raise ValueError(f"{layer} is not that of every row")
            except DAMAGED as error:
                self._warn(path, error)
                continue
            yield part, places

    def _sound(self, part: PartFile, rows: dict[bytes, int]) -> dict[bytes, list[np.ndarray]]:
        """Read rows of a part, less those whose checksum is not that of the feature."""
        places = list(rows.values())
        try:
            blocks = [np.asarray(part.features(layer)[places]) for layer in self._recipe.layers]
        except DAMAGED as error:
            self._warn(part.path, error)
            return {}
        good = np.ones(len(places), bool)
        for layer, block in zip(self._recipe.layers, blocks, strict=True):
            sums = row_checksums(block, part.digests[places])
            good &= (sums == part.checksums[layer][places]).all(axis=1)
        if not good.all():
            self._warn(part.path, f"another checksum for {int((~good).sum())} of {len(good)} rows")
        return {
            digest: [block[number] for block in blocks] for number, digest in enumerate(rows) if good[number]
        }

    def _warn(self, path: Path, reason: object) -> None:
        _log.warning("rows of %s are damaged and will be computed again (%s)", path, reason)

    def _writing(self) -> AbstractContextManager[None]:
        return writing(self._folder, "or choose another cache; what was kept before is still there")


@lru_cache(maxsize=4096)
def _opened(path: Path, modified: int, size: int) -> tuple[PartFile, dict[bytes, int]]:
    """Open a part once for each of its states; a failure is not remembered."""
    part = PartFile(path)
    return part, {digest: row for row, digest in enumerate(split_digests(part.digests))}


class MemoryRows:
    """Features of one recipe in this process, with the methods of `FolderRows`.

    Parameters
    ----------
    recipe : Recipe

    Examples
    --------
    >>> rows = MemoryRows(Recipe("xception", weights="00"))
    >>> rows.keep(EngineInfo("keras"), [np.zeros(2)], {b"a digest": [np.ones(2)]})
    >>> rows.find([b"a digest", b"another"])
    {b'a digest': [array([1., 1.], dtype=float32)]}
    """

    def __init__(self, recipe: Recipe) -> None:
        self._layers, self._dtype = recipe.layers, recipe.dtype
        self._rows: dict[bytes, Sequence[np.ndarray]] = {}
        self._probes: dict[EngineInfo, Probe] = {}

    def find(self, digests: Iterable[bytes]) -> dict[bytes, Sequence[np.ndarray]]:
        """Return the features that are known."""
        return {digest: self._rows[digest] for digest in digests if digest in self._rows}

    def probes(self) -> list[Probe]:
        """Return the probe of whatever computed rows."""
        return list(self._probes.values())

    def keep(
        self, engine: EngineInfo, probe: Sequence[np.ndarray], rows: Mapping[bytes, Sequence[np.ndarray]]
    ) -> None:
        """Keep rows until the process ends, in the type in which a file would."""
        stored = dict(zip(self._layers, probe, strict=True))
        self._probes[engine] = Probe("this process", engine, stored)
        self._rows |= {
            digest: [np.array(layer, self._dtype) for layer in layers] for digest, layers in rows.items()
        }

    def locked(self) -> AbstractContextManager[None]:
        """Return a context that does nothing: no other process sees these rows."""
        return nullcontext()
