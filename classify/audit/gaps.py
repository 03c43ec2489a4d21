"""Which rows are copies: far nearer to each other than to any other image, by a threshold from the data."""

from dataclasses import dataclass

import numpy as np

from classify.audit.clusters import components

NEIGHBOURS = 30  # nearest rows of each that are looked at
FALSE_ALARM_RATE = 0.001  # of rows that have no copy
_COPIES = 10  # most that a gap behind them tells
_RANKS = range(2, 21)  # of gaps that tell how gaps between different images are distributed
_LOW = 0.25  # quantile of their thresholds: copies among the ranks can only widen gaps
_TAIL = 0.1  # share of the gaps to which the exponential tail is fitted
_FEWEST = 50  # gaps of a rank, to say anything
_SAMPLE = 100_000  # rows that thresholds are computed from, at the most
_CHUNK = 65_536
_ROUNDS = 20
_NEAREST = 1e-3  # a distance of unit vectors; below it rounding is all there is
_FIRST_PERCENT = 3.45  # quartile to first percentile over median to quartile of a normal distribution


@dataclass(frozen=True)
class Thresholds:
    """When two rows are copies of one image.

    Attributes
    ----------
    ratio : float
        Of their distance to the distance of the next different image, at the most; 0: nothing is.
    cosine : float
        Above which they are whatever the next image is: their distance is as much smaller than
        what one in a hundred images has to its nearest.
    """

    ratio: float
    cosine: float


NOTHING = Thresholds(0.0, 1.0)


def copies(
    rows: np.ndarray,
    cosine: np.ndarray,
    rate: float = FALSE_ALARM_RATE,
    sample: np.ndarray | None = None,
) -> tuple[np.ndarray, Thresholds]:
    """Return which rows are copies of one image, by their nearest neighbours.

    In a space of d dimensions the logarithm of the ratio of the distances to the next neighbour
    and to the m-th is exponentially distributed with the rate m d, whatever the density (A. Renyi
    (1953); E. Facco et al. (2017), Scientific Reports 7, 12140, estimate dimensions so). A copy
    leaves a larger gap behind it. The gap that different images exceed at the stated rate is
    extrapolated from the largest tenth of m log(ratio) at each m from 2 to 20; what is found is
    one image from then on, and the gaps are taken again until nothing more is found.

    Parameters
    ----------
    rows : ndarray of int, shape (N, k)
        Nearest rows of each row, the nearest first; -1 for none.
    cosine : ndarray of float, shape (N, k)
    rate : float
        False alarms: share of the rows without a copy that get one.
    sample : ndarray of int, optional
        Rows that the thresholds are computed from; default: all, or 100,000 of them.

    Returns
    -------
    pairs : ndarray of int, shape (P, 2)
        The smaller row first, in ascending order, each once.
    thresholds : Thresholds
        `NOTHING` where rows are too few.
    """
    found, image, limits = np.empty((0, 2), np.int64), np.arange(len(rows)), NOTHING
    for _ in range(_ROUNDS):
        firsts = np.unique(image, return_index=True)[1]
        some = firsts if sample is None else firsts[np.isin(firsts, sample)]
        limits = _thresholds(rows, cosine, image, some[:: max(1, -(-len(some) // _SAMPLE))], rate)
        new = _within(rows, cosine, image, limits)
        if not len(new):
            break
        found = np.concatenate([found, new])
        image = components(len(rows), found)
    return np.unique(np.sort(found, axis=1), axis=0), limits


def _thresholds(
    rows: np.ndarray, cosine: np.ndarray, image: np.ndarray, sample: np.ndarray, rate: float
) -> Thresholds:
    logs, _ = _different(rows, cosine, image, sample)
    gaps = [rank * (logs[:, rank] - logs[:, rank - 1]) for rank in _RANKS if rank < logs.shape[1]]
    known = [each[np.isfinite(each)] for each in gaps]
    limits = [_exceeded(each, rate) for each in known if len(each) >= _FEWEST]
    if not limits:
        return NOTHING
    gap = np.quantile(limits, _LOW)
    median, quartile = np.quantile(logs[np.isfinite(logs[:, 0]), 0], [0.5, 0.25])
    distance = np.exp(median - _FIRST_PERCENT * (median - quartile) - gap)
    return Thresholds(float(np.exp(-gap)), float(1 - distance**2 / 2))


def _exceeded(gaps: np.ndarray, rate: float) -> float:
    """Return the gap that a share of different images exceeds."""
    begin = np.quantile(gaps, 1 - _TAIL)
    return float(begin + (gaps[gaps >= begin] - begin).mean() * np.log(_TAIL / rate))


def _within(rows: np.ndarray, cosine: np.ndarray, image: np.ndarray, limits: Thresholds) -> np.ndarray:
    """Return pairs of rows within the thresholds that are not yet one image."""
    if not limits.ratio:
        return np.empty((0, 2), np.int64)
    found = []
    for first in range(0, len(rows), _CHUNK):
        chosen = np.arange(first, min(first + _CHUNK, len(rows)))
        logs, others = _different(rows, cosine, image, chosen)
        wide = np.diff(logs[:, : _COPIES + 1], axis=1) >= -np.log(limits.ratio)
        last = np.where(wide.any(axis=1), wide.shape[1] - wide[:, ::-1].argmax(axis=1), 0)
        near = logs < np.log(2 - 2 * limits.cosine) / 2
        row, place = np.nonzero(near | (np.arange(logs.shape[1]) < last[:, None]))
        found.append(np.stack([chosen[row], others[row, place]], axis=1))
    return np.concatenate(found)


def _different(
    rows: np.ndarray, cosine: np.ndarray, image: np.ndarray, chosen: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the logarithms of the distances to the nearest different images, and rows of those.

    NaN and any row behind the last one that is known.
    """
    near, own = rows[chosen], image[chosen]
    images = np.where(near < 0, own[:, None], image[near])
    new = images != own[:, None]
    for place in range(1, near.shape[1]):
        new[:, place] &= (images[:, place, None] != images[:, :place]).all(axis=1)
    order = np.argsort(~new, axis=1, kind="stable")
    distances = np.sqrt(np.maximum(2 - 2 * cosine[chosen], _NEAREST**2))
    logs = np.where(new, np.log(distances), np.nan)
    return np.take_along_axis(logs, order, 1), np.take_along_axis(near, order, 1)
