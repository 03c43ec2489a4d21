"""Rows of features in float32, standardized, whatever matrix they are read from."""

import numpy as np

from classify.features.blocks import refuse_not_finite
from classify.features.columns import Matrix
from classify.features.matrix import FeatureMatrix
from classify.features.neighbours import parts

_BLOCK = 512  # rows at once


class Standardized:
    """Rows of features less the mean of some rows, divided by their deviation.

    Parameters
    ----------
    features : FeatureMatrix
    rows : ndarray of int, shape (n,)
        That mean and deviation are taken of.
    """

    def __init__(self, features: FeatureMatrix, rows: np.ndarray) -> None:
        self._X: Matrix = features.X
        self._ids = features.ids
        total, squares = np.zeros((2, self._X.shape[1]))
        shift = self._read(rows[:1])[0].astype(np.float64)  # near the mean, so that squares stay small
        for part in parts(len(rows), _BLOCK):
            block = self._read(rows[part]) - shift
            total += block.sum(axis=0)
            squares += np.einsum("nd,nd->d", block, block)
        mean = total / len(rows)
        deviation = np.sqrt(np.maximum(squares / len(rows) - mean**2, 0))
        self._mean = (shift + mean).astype(np.float32)
        constant = deviation <= 1e-6 * np.abs(self._mean)
        self._scale = np.where(constant | (deviation == 0), 1, deviation).astype(np.float32)

    def matrix(self, rows: np.ndarray) -> np.ndarray:
        """Return some rows as float32, standardized."""
        found = np.empty((len(rows), self._X.shape[1]), np.float32)
        for part in parts(len(rows), _BLOCK):
            np.subtract(self._read(rows[part]), self._mean, out=found[part])
            found[part] /= self._scale
        return found

    def _read(self, rows: np.ndarray) -> np.ndarray:
        block = np.asarray(self._X[rows], np.float32)
        refuse_not_finite(block, lambda row: self._ids[rows[row]], "the features")
        return block
