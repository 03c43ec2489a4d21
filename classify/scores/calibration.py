"""Decision values to probabilities: one factor, fitted on rows that the classifier did not see."""

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq

from data.errors import moved_keywords

LOWEST, HIGHEST = 1e-3, 1e3


def fit_inverse_temperature(
    decision: ArrayLike, y: ArrayLike, smoothing: float = 0.0, prior_rows: float = 0.0
) -> float:
    """Return the factor of decision values whose sigmoid or softmax has the least log loss.

    The factor is the inverse of the temperature of Guo et al. [1]_. With one decision value a row it
    is the slope of Platt's sigmoid [2]_, whose offset is left at 0, so no decision changes. The log
    loss is convex in the factor: its derivative, the mean of what the softmax expects of a row's
    decision values less what the label says, never falls, and has its root at the minimum.

    Parameters
    ----------
    decision : array_like of shape (N,) or (N, K)
        One value a row for two classes, or one for each class.
    y : array_like of shape (N,)
        Indices of the classes, 0 to K - 1.
    smoothing : float
        Share of each label that goes to all classes alike. Without it rows without one error have
        no best factor: the greater the better.
    prior_rows : float
        As many rows more are taken to have labels drawn by the probabilities that the factor 1 gives, for
        decision values whose scale is meant: they hold the factor of few rows near 1.

    Returns
    -------
    float
        Between 1e-3 and 1e3; 1e-3 where the decision values say nothing, or worse.

    References
    ----------
    .. [1] Guo, Pleiss, Sun and Weinberger, On Calibration of Modern Neural Networks, ICML 2017.
    .. [2] Niculescu-Mizil and Caruana, Predicting Good Probabilities With Supervised Learning, ICML 2005,
       section 4; smoothed labels keep the slope finite there too.

    Examples
    --------
    Three of four right at a distance of 1: the factor is the logarithm of 3.

    >>> round(fit_inverse_temperature([1, 1, 1, 1], [1, 1, 1, 0]), 4)
    1.0986
    """
    values = columns(decision)
    said = (1 - smoothing) * _of_label(values, y) + smoothing * values.mean(axis=1)

    def expected(factor: float) -> np.ndarray:
        return (_softmax(factor * values) * values).sum(axis=1)

    share = prior_rows / (len(values) + prior_rows) if prior_rows else 0.0
    said = (1 - share) * said + share * expected(1.0)

    def slope(log_factor: float) -> float:
        return float((expected(np.exp(log_factor)) - said).mean())

    low, high = np.log(LOWEST), np.log(HIGHEST)
    if slope(low) >= 0:
        return LOWEST
    if slope(high) <= 0:
        return HIGHEST
    return float(np.exp(brentq(slope, low, high, xtol=1e-9)))


@moved_keywords({"temperature": "inverse_temperature=..."})
def probabilities(decision: ArrayLike, inverse_temperature: float = 1.0) -> np.ndarray:
    """Return the sigmoid or softmax of decision values times a factor.

    Parameters
    ----------
    decision : array_like of shape (N,) or (N, K)
    inverse_temperature : float
        As `fit_inverse_temperature` returns it.

    Returns
    -------
    ndarray of float64, shape (N, K)
        Rows sum to 1; K is 2 for one value a row.

    Examples
    --------
    >>> probabilities([0.0, 1.0], np.log(3)).round(4).tolist()
    [[0.5, 0.5], [0.25, 0.75]]
    """
    return _softmax(inverse_temperature * columns(decision))


@moved_keywords({"temperature": "inverse_temperature=..."})
def log_loss(decision: ArrayLike, y: ArrayLike, inverse_temperature: float) -> float:
    """Return the mean of the negative logarithms of the probabilities of the labels.

    Parameters
    ----------
    decision, y
        As `fit_inverse_temperature` takes them.
    inverse_temperature : float

    Examples
    --------
    >>> round(log_loss([0.0, 0.0], [0, 1], 1.0), 4)
    0.6931
    """
    logits = inverse_temperature * columns(decision)
    logits = logits - logits.max(axis=1, keepdims=True)
    return float((np.log(np.exp(logits).sum(axis=1)) - _of_label(logits, y)).mean())


def flat(decision: np.ndarray) -> np.ndarray:
    """Turn decision values of one column into a vector; others stay as they are.

    Examples
    --------
    >>> flat(np.zeros((3, 1))).shape, flat(np.zeros((3, 4))).shape
    ((3,), (3, 4))
    """
    return decision[:, 0] if decision.shape[1] == 1 else decision


def columns(decision: ArrayLike) -> np.ndarray:
    """Return one column a class: the softmax of (0, d) is the sigmoid of d.

    Examples
    --------
    >>> columns([1.5]).tolist()
    [[0.0, 1.5]]
    """
    values = np.asarray(decision, np.float64)
    return values if values.ndim == 2 else np.stack([np.zeros_like(values), values], axis=1)


def number_of_logits(classes: int) -> int:
    """Return how many logits tell so many classes apart: two take one, whose sigmoid is that of the second.

    Examples
    --------
    >>> number_of_logits(2), number_of_logits(3)
    (1, 3)
    """
    return classes if classes > 2 else 1


def smoothing_of(rows: int) -> float:
    """Return the smoothing that keeps a factor finite and hardly moves one fitted on many rows.

    It is the share of errors to expect after that many rows without one: Laplace's rule of succession.

    Examples
    --------
    >>> smoothing_of(98)
    0.01
    """
    return 1 / (rows + 2)


def _of_label(columns: np.ndarray, y: ArrayLike) -> np.ndarray:
    return np.take_along_axis(columns, np.asarray(y)[:, None], axis=1)[:, 0]


def _softmax(logits: np.ndarray) -> np.ndarray:
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shares / shares.sum(axis=1, keepdims=True)
