"""Configurations of heads, for a sweep: small grids of parameters."""

import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass

from classify.parameters import check_parameters
from data.errors import unknown_name
from data.lists import as_list

# Simplest first, in the table and in each grid: the one-standard-error rule takes the first good one.
GRIDS: dict[str, dict[str, tuple]] = {
    "centroid": {},
    "ridge": {},
    "lda": {},
    "logistic": {"C": (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)},
    "linear-svm": {"C": (1e-5, 1e-4, 1e-3, 1e-2)},
    "keras-linear": {
        "dropout": (0.2, 0.5),
        "l2": (1e-2, 1e-3, 0.0),
        "learning_rate": (1e-4, 3e-4, 1e-3, 3e-3),
    },
    "knn": {"metric": ("cosine", "euclidean"), "k": (20, 10, 5, 1)},
    "mlp": {"hidden": ((64,), (256,)), "dropout": (0.5, 0.2)},
    "boosting": {},
}


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

    def __post_init__(self):
        check_parameters(self.head, self.params)

    @property
    def key(self) -> str:
        """Canonical JSON."""
        return json.dumps([self.head, self.params], sort_keys=True)


def entries(heads: str | Sequence[str] | None = None, grids: dict | None = None) -> list[Entry]:
    """List the configurations of a sweep, the simplest first.

    Parameters
    ----------
    heads : str or sequence of str, optional
        By default the whole table.
    grids : dict, optional
        Values of each parameter by head; by default `GRIDS`.

    Examples
    --------
    >>> [entry.params for entry in entries(["linear-svm"])][:2]
    [{'C': 1e-05}, {'C': 0.0001}]
    """
    grids = grids or GRIDS
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
