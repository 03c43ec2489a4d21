"""95 % intervals: Wilson's, of a difference, and by the bootstrap."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from statistics import NormalDist

import numpy as np

_Z = 1.959963984540054  # 97.5 % quantile of the normal distribution
SCORES = ("accuracy", "balanced_accuracy", "macro_f1", "log_loss", "ece", "roc_auc")  # one number each
RESAMPLES, FEWEST_RESAMPLES = 1000, 200
_ROWS_RESAMPLED = 50_000_000  # in all, which bounds the time: fewer resamples serve where rows are many


@dataclass(frozen=True)
class Interval:
    """A value, and the ends of its 95 % interval.

    Examples
    --------
    >>> Interval(0.5, 0.4, 0.7).to_dict()
    {'value': 0.5, 'low': 0.4, 'high': 0.7}
    """

    value: float
    low: float
    high: float

    def to_dict(self) -> dict[str, float]:
        """Return the interval as JSON-ready values."""
        return asdict(self)


def wilson(successes: float, trials: int, z: float = _Z) -> Interval:
    """Return a proportion with Wilson's interval.

    Source: E. B. Wilson (1927), Journal of the American Statistical Association 22, 209-212.

    Parameters
    ----------
    successes, trials : float, int
    z : float
        Standard deviations to either side: 1.96, of a 95 % interval, or as `simultaneous_z` has it.

    Examples
    --------
    >>> score = wilson(95, 100)
    >>> score.value, round(score.low, 3), round(score.high, 3)
    (0.95, 0.888, 0.978)
    """
    share, z2 = successes / trials, z**2
    middle = (share + z2 / (2 * trials)) / (1 + z2 / trials)
    half = z / (1 + z2 / trials) * (share * (1 - share) / trials + z2 / (4 * trials**2)) ** 0.5
    low, high = max(0.0, middle - half), min(1.0, middle + half)
    return Interval(share, min(low, share), max(high, share))


def simultaneous_z(intervals: int) -> float:
    """Return by how many standard deviations so many intervals all hold, in 95 % of cases (Bonferroni).

    Examples
    --------
    >>> round(simultaneous_z(1), 2), round(simultaneous_z(10), 2)
    (1.96, 2.81)
    """
    return NormalDist().inv_cdf(1 - 0.025 / intervals)


def paired_difference(first: Interval, second: Interval, correlation: float) -> Interval:
    """Return the difference of two correlated proportions with an interval of the level of theirs.

    Wilson's intervals of both are squared and added: method 10 of R. G. Newcombe (1998),
    Statistics in Medicine 17, 2635-2650, where the correlation is `paired_correlation`; of
    different rows it is 0 (Newcombe's method 10 of 17, 873-890).

    Parameters
    ----------
    first, second : Interval
        As `wilson` returns them.
    correlation : float

    Examples
    --------
    >>> found = paired_difference(wilson(32, 50), wilson(22, 50), 0.455)  # 20, 12, 2, 16 rows
    >>> round(found.value, 3), round(found.low, 3), round(found.high, 3)
    (0.2, 0.056, 0.329)
    """

    def half(one: float, two: float) -> float:
        return float(max(0.0, one**2 - 2 * correlation * one * two + two**2) ** 0.5)

    value = float(first.value - second.value)
    low = value - half(first.value - first.low, second.high - second.value)
    high = value + half(first.high - first.value, second.value - second.low)
    return Interval(value, max(-1.0, low), min(1.0, high))


def paired_correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Return the correlation of what two classifiers get right, with Newcombe's correction for continuity.

    Parameters
    ----------
    first, second : ndarray of bool, shape (N,)
    """
    both, only_first, only_second, neither = (
        int((one & two).sum()) for one in (first, ~first) for two in (second, ~second)
    )
    product = float(both * neither - only_first * only_second)
    product = max(product - len(first) / 2, 0.0) if product > 0 else product
    one, two = both + only_first, both + only_second
    margins = float(one) * (len(first) - one) * two * (len(first) - two)
    return product / margins**0.5 if margins else 0.0


Statistic = Callable[[np.ndarray], float]  # of how often each row is drawn


def bootstrap(rows: int, statistics: Mapping[str, Statistic]) -> dict[str, tuple[float, list[float]]]:
    """Return the value of each statistic, and its values on resamples of the rows.

    Parameters
    ----------
    rows : int
        How many; 1,000 resamples serve, 200 at the least where rows are many.
    statistics : mapping of str to function
        Each takes how often a row is drawn, an array of shape (rows,).

    Examples
    --------
    >>> value, drawn = bootstrap(4, {"mean": lambda weights: weights @ [0, 1, 2, 3] / 4})["mean"]
    >>> float(value), len(drawn)
    (1.5, 1000)
    """
    generator = np.random.default_rng(0)
    drawn: dict[str, list[float]] = {name: [] for name in statistics}
    for _ in range(max(FEWEST_RESAMPLES, min(RESAMPLES, _ROWS_RESAMPLED // rows))):
        weights = np.bincount(generator.integers(0, rows, rows), minlength=rows)
        for name, statistic in statistics.items():
            drawn[name].append(statistic(weights))
    return {name: (statistic(np.ones(rows)), drawn[name]) for name, statistic in statistics.items()}


def percentile_interval(value: float, drawn: list[float]) -> Interval:
    """Return a value with the middle 95 % of its resamples, those without a value left out.

    Examples
    --------
    >>> percentile_interval(50, list(range(101)))
    Interval(value=50.0, low=2.5, high=97.5)
    """
    low, high = np.nanpercentile(drawn, [2.5, 97.5])
    return Interval(float(value), float(low), float(high))


def shifted_interval(value: float, drawn: list[float]) -> Interval:
    """Return a share that few rows make too large, with a bootstrap interval that allows for it.

    Resamples are too large by the value's bias and, once more, by their own, which is their
    mean less the value (B. Efron, R. J. Tibshirani (1993), An introduction to the bootstrap,
    chapter 10). The low end is their 2.5 % percentile less twice that bias; the high end is
    their 97.5 % percentile, since the bias falls as the share grows. The value is always inside.

    Examples
    --------
    >>> shown = shifted_interval(0.5, [0.5, 0.6, 0.7])
    >>> round(shown.low, 3), round(shown.high, 3)
    (0.305, 0.695)
    """
    low, high = np.percentile(drawn, [2.5, 97.5])
    bias = max(0.0, float(np.mean(drawn)) - value)
    low, high = min(max(0.0, low - 2 * bias), value), max(min(1.0, high), value)
    return Interval(float(value), float(low), float(high))


def score_text(score: dict) -> str:
    """Lay out a score with its interval.

    Examples
    --------
    >>> score_text({"value": 0.97, "low": 0.93, "high": 0.99})
    '0.9700 [0.9300, 0.9900]'
    """
    return f"{score['value']:.4f} [{score['low']:.4f}, {score['high']:.4f}]"
