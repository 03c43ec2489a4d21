"""Is a feature file what it says it is? A child process reads it: damaged HDF5 can hang or exhaust memory."""

import json
import resource
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import h5py
import numpy as np

from data.child import command_of, environment
from data.errors import HeadstartError, NotFoundError
from data.splits import SPLIT_NAMES
from data.text import one_line
from extract.feature_file.content_digest import content_digest
from extract.feature_file.hdf5 import DAMAGED, row_checksums
from extract.feature_file.places import BLOCK
from extract.feature_file.reader import open_checked, read_contents, read_shards
from extract.feature_file.shards import located

_MEMORY = 4 * 2**30  # bytes that the child may take besides the file
_START, _BYTES_A_SECOND = 60, 20e6  # seconds, and the slowest disk that we wait for


@dataclass(frozen=True)
class Verdict:
    """What `verify` found.

    Attributes
    ----------
    problems : tuple of str
        What is wrong with the file as a whole; empty if it is sound.
    damaged : tuple of int
        Rows whose feature is not the one that was written.
    damaged_ids : tuple of str
        Their names.
    remedy : str
        What helps: ``repair`` drops what is damaged, ``run``, with ``--rehash``, brings the file up
        to date with its source, ``extract`` is to make it anew; empty if it is sound.
    """

    problems: tuple[str, ...]
    damaged: tuple[int, ...]
    damaged_ids: tuple[str, ...]
    remedy: str = ""

    def to_dict(self) -> dict:
        """Return the verdict as JSON-ready values."""
        return asdict(self)

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems and not self.damaged


def verify(path: str | Path, seconds: float | None = None) -> Verdict:
    """Check structure, counts, checksums and values of a feature file.

    Parameters
    ----------
    path : str or Path
    seconds : float, optional
        Time limit; by default a minute and what a slow disk needs for the file's size.

    Raises
    ------
    HeadstartError
        If there is no such file.

    Examples
    --------
    >>> verify("photos.h5").sound  # doctest: +SKIP
    True
    """
    path = Path(path)
    if not located(path).is_file():
        raise NotFoundError(
            f"there is no feature file {str(path)!r}",
            "a file, or a folder of parts with an index",
            "a folder without an index" if path.is_dir() else "a path that does not exist",
            "check the path",
        )
    seconds = seconds or _START + _size(path) / _BYTES_A_SECOND
    command = command_of("extract.feature_file.verify", path.resolve())
    try:
        done = subprocess.run(
            command, env=environment(), capture_output=True, text=True, timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired:
        return Verdict((f"reading it took more than {seconds:.0f} s",), (), (), "extract")
    try:
        values = json.loads(done.stdout)
    except ValueError:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        return Verdict((f"it cannot be read: {last}",), (), (), "extract")
    remedy = values.pop("remedy")
    return Verdict(**{name: tuple(value) for name, value in values.items()}, remedy=remedy)


def examine(path: Path) -> Verdict:
    """Do the work of `verify` in this process, without limits."""
    try:
        with open_checked(path) as file:
            problems = [problem for check in CHECKS for problem in check(file)]
            damaged = [] if _shapes(file) else damaged_rows(file)
            if "shards" in file and not _shapes(file):
                lost, damaged = damaged_shards(path, file)
                problems += lost
            ids = read_contents(file).ids
        names = tuple(ids[row] for row in damaged if row < len(ids))
    except DAMAGED as error:  # a HeadstartError is a ValueError
        reason = error.received if isinstance(error, HeadstartError) else one_line(error)
        return Verdict((f"it cannot be read: {reason}",), (), (), "extract")
    return Verdict(tuple(problems), tuple(damaged), names, "repair" if problems or damaged else "")


def damaged_rows(file: h5py.File) -> list[int]:
    """Return the rows whose checksum does not fit, or that hold NaN or infinity."""
    damaged: set[int] = set()
    digests = file["digests"]
    for name, features in file.get("features", {}).items():
        for start in range(0, len(features), BLOCK):
            chosen = slice(start, start + BLOCK)
            wrong = _wrong(features[chosen], digests[chosen], file["checksums"][name][chosen])
            damaged.update((start + np.flatnonzero(wrong)).tolist())
    return sorted(damaged)


def damaged_shards(folder: Path, file: h5py.File) -> tuple[list[str], list[int]]:
    """Return what is wrong with parts as a whole, and the damaged rows with all of those parts' rows.

    Parameters
    ----------
    folder : Path
    file : h5py.File
        Its index.
    """
    digests = file["digests"][:]
    shards = read_shards(folder, file, digests)
    checksums = {name: file["checksums"][name][:] for name in file["checksums"]}
    lost, damaged = [], set()
    for part, rows in shards.by_part(np.arange(len(digests))):
        try:
            for name, sums in checksums.items():
                wrong = _wrong(shards.read(part, rows, name), digests[rows], sums[rows])
                damaged.update(rows[wrong].tolist())
        except HeadstartError as error:
            lost.append(f"the part {shards.names[part]} is missing or damaged: {error.received}")
            damaged.update(rows.tolist())
    return lost, sorted(damaged)


def _wrong(block: np.ndarray, digests: np.ndarray, checksums: np.ndarray) -> np.ndarray:
    return (row_checksums(block, digests) != checksums).any(axis=1) | ~np.isfinite(block).all(axis=1)


def _size(path: Path) -> int:
    return sum(file.stat().st_size for file in (path.glob("*.h5") if path.is_dir() else [path]))


def _shapes(file: h5py.File) -> list[str]:
    rows = len(file["ids"])
    columns = {"digests": (32,), "labels": (), "splits": (), "origins": ()}
    columns |= {"groups": ()} if "groups" in file else {}
    expected = {name: (rows, *rest) for name, rest in columns.items()}
    expected |= {f"checksums/{name}": (rows, 16) for name in file["checksums"]}
    for name, features in file.get("features", {}).items():
        expected[f"probe/{name}"] = features.shape[1:]
        expected[f"features/{name}"] = (rows, *features.shape[1:2])
    expected |= {f"shards/{name}": (rows,) for name in ("part", "row") if "shards" in file}
    rejected = len(file["rejected/id"])
    expected |= {"rejected/digest": (rejected, 32), "rejected/reason": (rejected,)}
    expected |= {"rejected/split": (rejected,)} if "rejected/split" in file else {}
    return [
        f"{name} has the shape {file[name].shape}, not {shape}"
        for name, shape in expected.items()
        if file[name].shape != shape
    ]


def _counts(file: h5py.File) -> list[str]:
    total, found = int(file.attrs["source_rows"]), len(file["ids"]) + len(file["rejected/id"])
    return [f"the source had {total} rows, but {found} are present or rejected"] if total != found else []


def _names(file: h5py.File) -> list[str]:
    ids = file["ids"][:].tolist()
    problems = [] if len(set(ids)) == len(ids) else ["ids occur twice"]
    return problems if ids == sorted(ids) else [*problems, "ids are not sorted"]


def _ranges(file: h5py.File) -> list[str]:
    limits = {
        "labels": (-1, len(json.loads(file.attrs["class_names"]))),
        "splits": (0, len(SPLIT_NAMES)),
        **({"rejected/split": (-1, len(SPLIT_NAMES))} if "rejected/split" in file else {}),
        "origins": (0, len(json.loads(file.attrs["engines"]))),
    }
    return [
        f"{name} leave the range {low}..{high - 1}"
        for name, (low, high) in limits.items()
        if len(file[name]) and not low <= file[name][:].min() <= file[name][:].max() < high
    ]


def _layers(file: h5py.File) -> list[str]:
    layers = sorted(json.loads(file.attrs["recipe"])["layers"])
    found = file["probe"] if "shards" in file else file["features"]
    same = sorted(found) == sorted(file["checksums"]) == layers
    return [] if same else [f"the features are not those of {layers}"]


def _digest(file: h5py.File) -> list[str]:
    if content_digest(file) == file.attrs["content_digest"]:
        return []
    return ["its content digest does not fit: ids, labels or attributes are not those that were written"]


CHECKS = (_shapes, _counts, _names, _ranges, _layers, _digest)


def _main(path: str) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY + _size(Path(path)),) * 2)
    verdict = examine(Path(path))
    print(json.dumps(verdict.to_dict()))


if __name__ == "__main__":
    _main(sys.argv[1])
