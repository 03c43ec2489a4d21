"""Nearest rows among very many: sought in few dimensions and a few buckets, their cosines then exact."""

import numpy as np

from classify.features.columns import Matrix
from classify.features.neighbours import Best, parts, unit_rows

DIMENSIONS = 128
_SAMPLE = 8192  # rows that the axes are taken from
_BUCKET = 1000  # rows of a bucket on average
_PROBES = 8  # buckets that are looked through for each row
_FEWEST, _MOST = 32, 4096  # buckets
_BLOCK = 4096


def nearest_projected(X: Matrix, rows: np.ndarray, k: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return what `nearest_of_all` does, nearly: by the cosine in the plane of most of their length.

    Rows are projected to the 128 main axes of a sample (without its mean taken off, as cosines
    are). Rows drawn at random are the middles of buckets; each row is in the bucket of the
    nearest one, and is compared with the rows of the eight nearest buckets.

    Parameters
    ----------
    X : ndarray, ShardedArray or Columns, of shape (N, D)
        Read once, in the order of `rows`.
    rows : ndarray of int, shape (n,)
    k : int
    seed : int
        Of the sample and of the middles.

    Returns
    -------
    places : ndarray of int32, shape (n, k)
        Places in `rows`; -1 behind the last one found.
    cosine : ndarray of float32, shape (n, k)
        Of the projections.

    Raises
    ------
    HeadstartError
        If a row holds NaN or infinity.
    """
    generator = np.random.default_rng(seed)
    points = _projected(X, rows, _axes(X, generator.permutation(rows)[:_SAMPLE]))
    count = int(np.clip(len(rows) // _BUCKET, _FEWEST, _MOST))
    middles = points[np.sort(generator.permutation(len(points))[:count])]
    buckets = _nearest_buckets(points, middles)
    asking = _rows_by(buckets.ravel(), count)  # places among all buckets of all rows
    held = _rows_by(buckets[:, 0], count)
    best = Best(np.arange(len(points)), k)
    for asked, inside in zip(asking, held, strict=True):
        for some in parts(len(asked), _BLOCK):
            places = asked[some] // buckets.shape[1]
            for few in parts(len(inside), _BLOCK):
                best.update(places, points[places] @ points[inside[few]].T, inside[few])
    return best.sorted()


def exact(
    X: Matrix, rows: np.ndarray, places: np.ndarray, chosen: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the neighbours of some rows by their exact cosines, the nearest first; of others none.

    Parameters
    ----------
    X : ndarray, ShardedArray or Columns, of shape (N, D)
    rows : ndarray of int, shape (n,)
    places : ndarray of int, shape (n, k)
        As `nearest_projected` returns them.
    chosen : ndarray of int
        Places in `rows`.
    """
    near = np.full(places.shape, -1, np.int32)
    cosine = np.full(places.shape, -np.inf, np.float32)
    for some in parts(len(chosen), max(1, _BLOCK // places.shape[1])):
        part = chosen[some]
        found, where = np.unique(places[part], return_inverse=True)
        block = unit_rows(X, rows[np.maximum(found, 0)])
        others = block[where.reshape(len(part), -1)]
        values = np.einsum("nd,nkd->nk", unit_rows(X, rows[part]), others)
        values[places[part] < 0] = -np.inf
        order = np.argsort(-values, axis=1, kind="stable")
        cosine[part] = np.take_along_axis(values, order, 1)
        near[part] = np.take_along_axis(places[part], order, 1)
    return near, cosine


def _axes(X: Matrix, sample: np.ndarray) -> np.ndarray:
    """Return the main axes of some rows, of shape (D, `DIMENSIONS`) or fewer."""
    from scipy.linalg import eigh

    width = X.shape[1]
    products = np.zeros((width, width), np.float32)
    for some in parts(len(sample), _BLOCK):
        block = unit_rows(X, np.sort(sample[some]))
        products += block.T @ block
    return eigh(products, subset_by_index=[max(0, width - DIMENSIONS), width - 1])[1]


def _projected(X: Matrix, rows: np.ndarray, axes: np.ndarray) -> np.ndarray:
    points = np.empty((len(rows), axes.shape[1]), np.float32)
    for some in parts(len(rows), _BLOCK):
        points[some] = unit_rows(unit_rows(X, rows[some]) @ axes, np.arange(some.stop - some.start))
    return points


def _nearest_buckets(points: np.ndarray, middles: np.ndarray) -> np.ndarray:
    """Return the buckets of each row that are looked through, its own first: (n, `_PROBES`)."""
    found = np.empty((len(points), min(_PROBES, len(middles))), np.int32)
    for some in parts(len(points), _BLOCK):
        cosine = points[some] @ middles.T
        near = np.argpartition(-cosine, found.shape[1] - 1, axis=1)[:, : found.shape[1]]
        order = np.argsort(-np.take_along_axis(cosine, near, 1), axis=1)
        found[some] = np.take_along_axis(near, order, 1)
    return found


def _rows_by(buckets: np.ndarray, count: int) -> list[np.ndarray]:
    """Return the places of each bucket."""
    order = np.argsort(buckets, kind="stable")
    return np.split(order, np.cumsum(np.bincount(buckets, minlength=count))[:-1])
