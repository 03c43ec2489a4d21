"""How contenders compare on the same rows: differences with intervals, and how many rows would tell."""

from dataclasses import dataclass
from math import ceil

import numpy as np

from classify.scores.cross_validation import CrossValidation
from classify.scores.evaluate import losses
from classify.scores.intervals import (
    Interval,
    paired_correlation,
    paired_difference,
    simultaneous_z,
    wilson,
)

LITTLE = 0.05  # of a log loss: what costs more time has to promise more than that
NOTHING = 0.001  # of log loss: a smaller difference moves no decision
_TOLD = 1.96 + 0.84  # standard errors that a difference has, if 95 % intervals are to show it 4 times in 5


@dataclass(frozen=True, eq=False)
class Judged:
    """What cross-validation says of some features of the sample.

    Attributes
    ----------
    found : CrossValidation
    units : ndarray of int, shape (N,)
        The same for rows that belong together.
    """

    found: CrossValidation
    units: np.ndarray

    @property
    def losses(self) -> np.ndarray:
        """Log loss of each row, shape (N,)."""
        return losses(self.found.y, self.found.proba)

    @property
    def right(self) -> np.ndarray:
        """Whether each row is predicted right, shape (N,)."""
        return self.found.proba.argmax(axis=1) == self.found.y

    @property
    def log_loss(self) -> float:
        """Mean of the losses."""
        return float(self.losses.mean())

    @property
    def rows(self) -> int:
        """How many."""
        return len(self.found.y)


@dataclass(frozen=True)
class Difference:
    """How much worse one is than another on the same rows.

    Attributes
    ----------
    log_loss : Interval
        Mean of the rows' differences; above 0 the other one is better.
    accuracy : Interval
        Below 0 the other one is better.
    error : float
        Standard error of the difference of log loss.
    rows_to_tell : int or None
        About so many rows would show a difference of that size; None where there is none.
    """

    log_loss: Interval
    accuracy: Interval
    error: float
    rows_to_tell: int | None

    @property
    def alike(self) -> bool:
        """Whether these rows cannot tell the two apart."""
        return self.log_loss.low <= NOTHING and self.log_loss.high >= -NOTHING

    @property
    def is_near(self) -> bool:
        """Whether it is within one standard error of the other one, or `NOTHING`, or better."""
        return self.log_loss.value <= max(self.error, NOTHING)

    def to_dict(self) -> dict:
        """Return the difference as JSON-ready values."""
        return {
            "log_loss": self.log_loss.to_dict(),
            "accuracy": self.accuracy.to_dict(),
            "alike": self.alike,
            "rows_to_tell": self.rows_to_tell,
        }


def difference(one: Judged, other: Judged, comparisons: int = 1) -> Difference:
    """Compare two on the same rows and folds.

    The interval of log loss is that of a mean of differences, whose error takes rows that belong
    together as one (S.-Y. Liang, S. L. Zeger (1986), Biometrika 73, 13-22); that of accuracy is
    `paired_difference`. So many of them hold at once in 95 % of cases.

    Parameters
    ----------
    one, other : Judged
    comparisons : int
        How many are made: intervals are as much wider (Bonferroni).

    Examples
    --------
    >>> def judged(certain):
    ...     proba = np.array([[certain, 1 - certain], [1 - certain, certain]] * 50)
    ...     noise = np.linspace(-0.04, 0.04, 100)[:, np.newaxis] * [1, -1]
    ...     return Judged(CrossValidation(np.arange(100) % 2, proba + noise, [], ("a", "b"), np.arange(100)),
    ...                   np.arange(100))
    >>> found = difference(judged(0.7), judged(0.9))
    >>> round(found.log_loss.value, 2), found.alike, found.accuracy.value
    (0.25, False, 0.0)
    """
    gaps, z = one.losses - other.losses, simultaneous_z(comparisons)
    mean, error = float(gaps.mean()), error_of_mean(gaps, one.units)
    first, second = (wilson(int(each.right.sum()), each.rows, z) for each in (one, other))
    return Difference(
        Interval(mean, mean - z * error, mean + z * error),
        paired_difference(first, second, paired_correlation(one.right, other.right)),
        error,
        rows_to_tell(mean, error, one.rows),
    )


def error_of_mean(values: np.ndarray, units: np.ndarray) -> float:
    """Return the standard error of a mean of rows, those of one unit not independent.

    Examples
    --------
    >>> values = np.array([0.0, 1.0, 0.0, 1.0])
    >>> error_of_mean(values, np.arange(4)), error_of_mean(values, np.array([0, 1, 0, 1]))
    (0.25, 0.3535533905932738)
    """
    sums = np.bincount(units, values - values.mean())
    return float((sums**2).sum() ** 0.5 / len(values))


def rows_to_tell(mean: float, error: float, rows: int) -> int | None:
    """Return about how many rows would show a difference, in four of five samples, by 95 % intervals.

    Errors fall with the root of the rows; 1.96 + 0.84 of them are what a normal variable needs (J.
    Cohen (1988), Statistical power analysis for the behavioral sciences, chapter 2).

    Examples
    --------
    >>> rows_to_tell(0.01, 0.005, 600), rows_to_tell(0.0, 0.005, 600)
    (1176, None)
    """
    if not mean:
        return None
    return max(1, ceil(rows * (_TOLD * error / abs(mean)) ** 2 - 1e-9))


def adds_nothing(slow: Judged, fast: Judged, comparisons: int, same: bool = False) -> bool:
    """Tell whether a slower one need not go on.

    Its interval promises no more than `LITTLE` of the log loss of the faster one, or `NOTHING`: it is
    clearly behind, or next to nothing better at best.

    Parameters
    ----------
    slow, fast : Judged
    comparisons : int
        As `difference` takes them.
    same : bool
        Whether both are the same features in two arithmetics: then the slower one has to be clearly
        better.
    """
    gap = difference(slow, fast, comparisons).log_loss
    return gap.high > -NOTHING if same else gap.low > -max(LITTLE * fast.log_loss, NOTHING)
