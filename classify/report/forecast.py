"""How many more training images one point of accuracy takes: extrapolated, with an interval."""

from dataclasses import dataclass

import numpy as np

_POINT = 0.01
_RESAMPLES = 400
_FAR = 10.0  # times the training rows: further nothing is said
_SLOPES = np.linspace(0.02, 1.5, 38)
_SHARES = np.array([0.0, 0.2, 0.4, 0.6, 0.8, 0.9, 0.97])  # of the least error, that no image takes away


@dataclass(frozen=True)
class Forecast:
    """What more training images of the same kind would bring.

    Attributes
    ----------
    more, low, high : float or None
        Images for one point of accuracy, and their 95 % interval; None beyond ten times what there is.
    expected : tuple of (float, float, float, float)
        Training images, accuracy, and its 95 % interval, up to four times of what there is.
    said : str
    """

    more: float | None
    low: float | None
    high: float | None
    expected: tuple[tuple[float, float, float, float], ...]
    said: str


def forecast(rows: np.ndarray, right: np.ndarray, seed: int = 0) -> Forecast:
    """Extrapolate a learning curve by error = a n^-b + c, fitted to resampled validation rows.

    A power law is what learning curves follow (J. Hestness et al. (2017), arXiv:1712.00409), but few
    points hardly hold its three parameters (T. Viering, M. Loog (2023), IEEE TPAMI 45, 7799-7819): so each
    bootstrap resample of the validation rows has its own best curve, and the interval is what all of them
    say. It allows for the sampling of these rows, not for training images of another kind.

    Parameters
    ----------
    rows : ndarray of shape (P,)
        Training rows of each point.
    right : ndarray of shape (P, V)
        How often a validation row was right at each point, from 0 to 1.
    seed : int

    Examples
    --------
    >>> rows = np.array([100, 200, 400, 800, 1600])
    >>> wrong = (3 * rows**-0.5)[:, None] > (np.arange(1000) + 0.5) / 1000
    >>> found = forecast(rows, 1 - wrong)
    >>> found.low < 530 < found.high, found.said[:9]
    (True, 'about 530')
    """
    generator = np.random.default_rng(seed)
    count = right.shape[1]
    drawn = generator.integers(0, count, (_RESAMPLES, count))
    errors = np.vstack([1 - right.mean(axis=1), *(1 - right[:, one].mean(axis=1) for one in drawn)])
    curves = _fitted(rows, errors)
    last = float(rows[-1])
    goal = _error(curves, last) - _POINT
    more = _reached(curves, goal) - last
    quantiles = np.quantile(more[1:], [0.025, 0.975], method="nearest").tolist()
    value, low, high = (_within(number, last) for number in (float(more[0]), *quantiles))
    ahead = np.geomspace(rows[0], 4 * last, 25)
    said = _said(value, low, high, 1 - float(_error(curves, last)[0]), last)
    return Forecast(value, low, high, _expected(curves, ahead), said)


def _fitted(rows: np.ndarray, errors: np.ndarray) -> np.ndarray:
    """Return a, b and c of the best curve of each row of errors, shape (R, 3); large parts count more."""
    weights = np.sqrt(rows / rows[-1])
    best, least = np.zeros((len(errors), 3)), np.full(len(errors), np.inf)
    for share in _SHARES:
        floor = share * errors.min(axis=1)
        for slope in _SLOPES:
            shape = rows**-slope
            a = np.maximum(
                ((errors - floor[:, None]) * weights * shape).sum(axis=1) / (weights * shape**2).sum(), 0
            )
            missed = (weights * (errors - floor[:, None] - a[:, None] * shape) ** 2).sum(axis=1)
            better = missed < least - 1e-12
            least = np.where(better, missed, least)
            best[better] = np.stack([a, np.full_like(a, slope), floor], axis=1)[better]
    return best


def _error(curves: np.ndarray, rows: float) -> np.ndarray:
    return curves[:, 0] * rows ** -curves[:, 1] + curves[:, 2]


def _reached(curves: np.ndarray, goal: np.ndarray) -> np.ndarray:
    """Return after how many rows each curve reaches its goal; infinity where it never does."""
    a, b, c = curves.T
    possible = (goal > c) & (a > 0)
    with np.errstate(all="ignore"):
        return np.where(possible, (a / np.where(possible, goal - c, 1)) ** (1 / b), np.inf)


def _within(more: float, last: float) -> float | None:
    return float(more) if np.isfinite(more) and more <= _FAR * last else None


def _expected(curves: np.ndarray, ahead: np.ndarray) -> tuple[tuple[float, float, float, float], ...]:
    found = []
    for rows in ahead:
        accuracy = 1 - _error(curves, rows)
        low, high = np.quantile(accuracy[1:], [0.025, 0.975])
        found.append(
            (float(rows), float(accuracy[0]), float(min(low, accuracy[0])), float(max(high, accuracy[0])))
        )
    return tuple(found)


def _said(more: float | None, low: float | None, high: float | None, accuracy: float, last: float) -> str:
    if accuracy > 1 - _POINT:
        return f"no point is left to gain: the curve is at {100 * accuracy:.1f} % already"
    far = f"more than {_round(_FAR * last)}"
    if low is None:
        return f"{far} more images would be needed for one point of accuracy, if any number is enough"
    between = (
        f"{_round(low)} to {_round(high)}"
        if high is not None
        else f"{_round(low)} to {far}; perhaps no number is enough"
    )
    value = f"about {_round(more)}" if more is not None else far
    return f"{value} more training images for one point of accuracy (95 % interval {between})"


def _round(value: float) -> str:
    """Return a number with two digits that count.

    Examples
    --------
    >>> _round(1234.5), _round(87.3)
    ('1,200', '87')
    """
    return f"{float(f'{value:.2g}'):,.0f}"
