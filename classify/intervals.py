"""95 % intervals: Wilson's, of a difference, and by the bootstrap."""

from collections.abc import Callable

import numpy as np

_Z = 1.959963984540054  # 97.5 % quantile of the normal distribution
RESAMPLES, FEWEST_RESAMPLES = 1000, 200
_ROWS_RESAMPLED = 50_000_000  # in all, which bounds the time: fewer resamples serve where rows are many


def wilson(successes: int, trials: int) -> dict[str, float]:
    """Return a proportion with Wilson's 95 % interval.

    Source: E. B. Wilson (1927), Journal of the American Statistical Association 22, 209-212.

    Examples
    --------
    >>> {name: round(value, 3) for name, value in wilson(95, 100).items()}
    {'value': 0.95, 'low': 0.888, 'high': 0.978}
    """
    share, z2 = successes / trials, _Z**2
    middle = (share + z2 / (2 * trials)) / (1 + z2 / trials)
    half = _Z / (1 + z2 / trials) * (share * (1 - share) / trials + z2 / (4 * trials**2)) ** 0.5
    low, high = max(0.0, middle - half), min(1.0, middle + half)
    return {"value": share, "low": min(low, share), "high": max(high, share)}


def paired_difference(first: dict, second: dict, correlation: float) -> dict[str, float]:
    """Return the difference of two correlated proportions with a 95 % interval.

    Wilson's intervals of both are squared and added: method 10 of R. G. Newcombe (1998),
    Statistics in Medicine 17, 2635-2650, where the correlation is that of `mcnemar`.

    Parameters
    ----------
    first, second : dict
        As `wilson` returns them.
    correlation : float

    Examples
    --------
    >>> result = paired_difference(wilson(32, 50), wilson(22, 50), 0.455)  # 20, 12, 2, 16 rows
    >>> {name: round(value, 3) for name, value in result.items()}
    {'value': 0.2, 'low': 0.056, 'high': 0.329}
    """
    value = first["value"] - second["value"]
    ends = {}
    for sign, name, other in ((-1, "low", "high"), (1, "high", "low")):
        one, two = abs(first["value"] - first[name]), abs(second["value"] - second[other])
        square = one**2 - 2 * correlation * one * two + two**2
        ends[name] = float(value + sign * max(0.0, square) ** 0.5)
    return {"value": float(value), "low": max(-1.0, ends["low"]), "high": min(1.0, ends["high"])}


def bootstrap(rows: int, statistics: dict[str, Callable]) -> dict[str, tuple[float, list[float]]]:
    """Return the value of each statistic, and its values on resamples of the rows.

    Parameters
    ----------
    rows : int
        How many; 1,000 resamples serve, 200 at the least where rows are many.
    statistics : dict of str to function
        Each takes how often a row is drawn, an array of shape (rows,).

    Examples
    --------
    >>> value, drawn = bootstrap(4, {"mean": lambda weights: weights @ [0, 1, 2, 3] / 4})["mean"]
    >>> float(value), len(drawn)
    (1.5, 1000)
    """
    generator = np.random.default_rng(0)
    drawn = {name: (statistic(np.ones(rows)), []) for name, statistic in statistics.items()}
    for _ in range(max(FEWEST_RESAMPLES, min(RESAMPLES, _ROWS_RESAMPLED // rows))):
        weights = np.bincount(generator.integers(0, rows, rows), minlength=rows)
        for name, statistic in statistics.items():
            drawn[name][1].append(statistic(weights))
    return drawn


def percentile_interval(value: float, drawn: list[float]) -> dict[str, float]:
    """Return a value with the middle 95 % of its resamples, those without a value left out.

    Examples
    --------
    >>> percentile_interval(50, list(range(101)))
    {'value': 50.0, 'low': 2.5, 'high': 97.5}
    """
    low, high = np.nanpercentile(drawn, [2.5, 97.5])
    return {"value": float(value), "low": float(low), "high": float(high)}


def shifted_interval(value: float, drawn: list[float]) -> dict[str, float]:
    """Return a share that few rows make too large, with a bootstrap interval that allows for it.

    Resamples are too large by the value's bias and, once more, by their own, which is their
    mean less the value (B. Efron, R. J. Tibshirani (1993), An introduction to the bootstrap,
    chapter 10). The low end is their 2.5 % percentile less twice that bias; the high end is
    their 97.5 % percentile, since the bias falls as the share grows. The value is always inside.

    Examples
    --------
    >>> shown = shifted_interval(0.5, [0.5, 0.6, 0.7])
    >>> round(shown["low"], 3), round(shown["high"], 3)
    (0.305, 0.695)
    """
    low, high = np.percentile(drawn, [2.5, 97.5])
    bias = max(0.0, float(np.mean(drawn)) - value)
    low, high = min(max(0.0, low - 2 * bias), value), max(min(1.0, high), value)
    return {"value": float(value), "low": float(low), "high": float(high)}
