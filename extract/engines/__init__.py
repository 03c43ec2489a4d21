"""Engines run a backbone over batches of pixels; the table and what they share."""

from importlib import import_module
from typing import Protocol

import numpy as np

from data.errors import unknown_name

ENGINES = {"keras": "extract.engines.keras_engine:KerasEngine"}


class Engine(Protocol):
    """A callable from pixels to features, made as ``Engine(recipe)``."""

    def __call__(self, batch: np.ndarray) -> list[np.ndarray]:
        """Return float32 features (B, D), one array for each layer of the recipe.

        Parameters
        ----------
        batch : ndarray of float32, shape (B, height, width, 3)
            RGB in 0..255; B may change from call to call.
        """

    def describe(self) -> dict:
        """Return name, versions and device, to be stored beside the features."""


def open_engine(name: str, recipe) -> Engine:
    """Make the engine of that name for a recipe.

    Raises
    ------
    HeadstartError
        If the name is unknown or the recipe's weights are not in the cache.
    """
    if name not in ENGINES:
        raise unknown_name("engine", name, ENGINES)
    module, engine = ENGINES[name].split(":")
    return getattr(import_module(module), engine)(recipe)


def probe_image(size: tuple[int, int]) -> np.ndarray:
    """Return one fixed synthetic image, whose feature proves that a reader computes the same.

    Returns
    -------
    ndarray of float32, shape (height, width, 3)
        Whole numbers in 0..255, smooth in places and rough in others.

    Examples
    --------
    >>> probe_image((2, 2))[1, 1].tolist()
    [49.0, 78.0, 107.0]
    """
    rows, columns, channels = np.meshgrid(*map(np.arange, (*size, 3)), indexing="ij")
    return ((rows * 7 + columns * 13 + channels * 29 + rows * columns * 29) % 256).astype(np.float32)
