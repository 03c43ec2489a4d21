"""Features as points of a plane: what lies close together looks alike to the backbone."""

from dataclasses import dataclass

import numpy as np

SIDE = 1000  # units of either axis
MOST = 5000  # rows, beyond which t-SNE takes too long
_MOST_DRAWN = 10_000
_KEPT, _PERPLEXITY, _STEPS = 50, 30, 500


@dataclass(frozen=True)
class Projection:
    """Rows as points of a plane.

    Attributes
    ----------
    rows : ndarray of int, shape (n,)
    x, y : ndarray of int, shape (n,)
        From 0 to `SIDE`.
    method : str
        How the points were found, in words.
    """

    rows: np.ndarray
    x: np.ndarray
    y: np.ndarray
    method: str


def project(X: np.ndarray, wanted: np.ndarray, seed: int = 0) -> Projection:
    """Lay features out in a plane by t-SNE; by the first two principal components beyond `MOST` rows.

    Source: L. van der Maaten, G. Hinton (2008), Visualizing data using t-SNE, JMLR 9, 2579-2605, on the
    50 first principal components of rows of unit length. One thread adds up, so that the points are the
    same each time.

    Parameters
    ----------
    X : ndarray of shape (N, D)
    wanted : ndarray of int
        Rows that are drawn in any case, where rows are too many for all of them.
    seed : int

    Examples
    --------
    >>> found = project(np.eye(12, dtype=np.float32), np.array([0]))
    >>> len(found.rows), int(max(found.x.max(), found.y.max()))
    (12, 1000)
    """
    rows = _drawn(len(X), wanted, seed)
    near = len(rows) <= MOST
    components = _components(np.asarray(X[rows], np.float32), _KEPT if near else 2, seed)
    places = _tsne(components, seed) if near and len(rows) > 9 else components
    x, y = _spread(places).T
    method = f"t-SNE of the {components.shape[1]} first principal components" if near else "PCA"
    return Projection(rows, x, y, method)


def _drawn(rows: int, wanted: np.ndarray, seed: int) -> np.ndarray:
    if rows <= _MOST_DRAWN:
        return np.arange(rows)
    wanted = np.unique(wanted)[:_MOST_DRAWN]
    others = np.setdiff1d(np.arange(rows), wanted)
    drawn = np.random.default_rng(seed).permutation(others)[: _MOST_DRAWN - len(wanted)]
    return np.sort(np.concatenate([wanted, drawn]))


def _components(X: np.ndarray, most: int, seed: int) -> np.ndarray:
    from sklearn.decomposition import PCA

    lengths = np.linalg.norm(X, axis=1, keepdims=True)
    X = X / np.where(lengths > 0, lengths, 1)
    kept = min(most, *X.shape)
    found = PCA(kept, svd_solver="randomized", random_state=seed).fit_transform(X)
    return np.pad(found, ((0, 0), (0, max(0, 2 - kept))))


def _tsne(components: np.ndarray, seed: int) -> np.ndarray:
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    perplexity = min(_PERPLEXITY, (len(components) - 1) / 3)
    with threadpool_limits(1):
        tsne = TSNE(init="pca", perplexity=perplexity, max_iter=_STEPS, random_state=seed)
        return tsne.fit_transform(components)


def _spread(places: np.ndarray) -> np.ndarray:
    """Return places in whole units, the longer axis from 0 to `SIDE`, the other one in its middle."""
    low, high = places.min(axis=0), places.max(axis=0)
    scale = SIDE / max(float((high - low).max()), 1e-12)
    margin = (SIDE - (high - low) * scale) / 2
    return np.round((places - low) * scale + margin).astype(int)
