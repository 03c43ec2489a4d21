"""Configurations of heads, and what of them a sweep has finished, line by line, so that it can go on."""

import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TextIO

from classify.heads.table import HEADS, head_named
from data.errors import unknown_name
from data.lists import as_list


@dataclass(frozen=True)
class Trial:
    """One training of one configuration, judged by the rows of its part.

    Attributes
    ----------
    key : str
        Of the entry.
    seed : int
    part : int
        Number of the rows, as in `classify.selection.division.Division`.
    learned : int
        Rows that it learned from.
    right, of : list of int
        Right rows, and all that judge, by class.
    loss, squares : float
        Sums of the log losses of the rows that judge, and of their squares.
    seconds : float
    warnings : list of str
        A line each, of all that trained with it.
    """

    key: str
    seed: int
    part: int
    learned: int
    right: list[int]
    of: list[int]
    loss: float
    squares: float
    seconds: float
    warnings: list[str] = field(default_factory=list)

    @property
    def place(self) -> "Place":
        """What tells it from others of one sweep."""
        return self.key, self.seed, self.part, self.learned


Place = tuple[str, int, int, int]


def read_journal(path: Path | None, digest: str) -> dict[Place, Trial]:
    """Return what an interrupted sweep of the same rows finished; a torn last line counts as none."""
    done = {}
    for line in path.read_text().splitlines() if path and path.is_file() else ():
        try:
            values = json.loads(line)
        except ValueError:
            continue
        if values.pop("features") == digest:
            trial = Trial(**values)
            done[trial.place] = trial
    return done


@contextmanager
def kept_in(path: Path | None, digest: str) -> Iterator[Callable[[Trial], None]]:
    """Yield what appends a finished trial to the journal; there is none before the first."""
    if path is None:
        yield lambda trial: None
        return
    text = path.read_text() if path.is_file() else ""
    torn = "\n" if text and not text.endswith("\n") else ""
    with ExitStack() as stack:
        file: TextIO | None = None

        def keep(trial: Trial) -> None:
            nonlocal file
            if file is None:
                file = stack.enter_context(open(path, "a"))
                file.write(torn)
            file.write(json.dumps({"features": digest, **asdict(trial)}) + "\n")
            file.flush()

        yield keep


@dataclass(frozen=True)
class Entry:
    """One configuration.

    Attributes
    ----------
    head : str
    params : dict

    Raises
    ------
    UsageError
        If there is no such head, or it does not allow these parameters.
    """

    head: str
    params: dict

    def __post_init__(self) -> None:
        head_named(self.head).check(self.params)

    @property
    def key(self) -> str:
        """Canonical JSON."""
        return json.dumps([self.head, self.params], sort_keys=True)


def entries(
    heads: str | Sequence[str] | None = None, grids: Mapping[str, Mapping[str, object]] | None = None
) -> list[Entry]:
    """List the configurations of a sweep, the simplest first.

    Parameters
    ----------
    heads : str or sequence of str, optional
        By default all.
    grids : mapping, optional
        Values of each parameter by head; by default those of `classify.heads.table.HEADS`.

    Examples
    --------
    >>> [entry.params for entry in entries(["linear-svm"])][:2]
    [{'C': 1e-05}, {'C': 0.0001}]
    """
    grids = grids or {name: head.grid for name, head in HEADS.items()}
    heads = None if heads is None else as_list(heads)
    for name in heads or ():
        if name not in grids:
            raise unknown_name("head", name, grids)
    return [
        Entry(name, dict(zip(grid, values, strict=True)))
        for name, grid in grids.items()
        if heads is None or name in heads
        for values in itertools.product(*map(as_list, grid.values()))
    ]
