"""Configurations of heads, for a sweep: small grids of parameters."""

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from classify.heads.table import HEADS, head_named
from data.errors import unknown_name
from data.lists import as_list


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
