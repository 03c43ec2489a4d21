"""Engines run a backbone over batches of pixels; the table and what they share."""

import os
from abc import ABC, abstractmethod
from collections.abc import Callable
from importlib import import_module

import numpy as np

from data.errors import HeadstartError, unknown_name
from extract.backbones import forked_error
from extract.recipe import Recipe

ENGINES = {
    "keras": "extract.engines.keras_engine:KerasEngine",
    "openvino": "extract.engines.openvino_engine:OpenVinoEngine",
}
_COMPUTES = {  # values of a recipe's fields that an engine can compute
    "keras": {"precision": ("float32", "float16", "bfloat16"), "quantization": ("none",)},
    "openvino": {"precision": ("float32",), "quantization": ("none", "int8")},
}


class Engine(ABC):
    """A callable from pixels to features, made as ``Engine(recipe, threads)``.

    Attributes
    ----------
    batch_size : int
        Images that it takes best at once; an engine that runs out of memory lowers it.
    ahead : int
        Batches that may be started before the first of them is finished.
    process : int or None
        That opened it, and alone has its threads: in a fork of that one it would never answer.
    """

    batch_size: int
    ahead: int
    process: int | None = None

    @abstractmethod
    def start(self, batch: np.ndarray) -> Callable[[], list[np.ndarray]]:
        """Start on a batch; the callable waits for it.

        Parameters
        ----------
        batch : ndarray of float32, shape (B, height, width, 3)
            RGB in 0..255, not to be changed until the callable returns; B may change from
            batch to batch.

        Returns
        -------
        callable
            Returns float32 features (B, D), one array for each layer of the recipe.
        """

    @abstractmethod
    def describe(self) -> dict:
        """Return name, versions and device, to be stored beside the features."""

    def __call__(self, batch: np.ndarray) -> list[np.ndarray]:
        """Return the features of a batch."""
        self.check_process()
        return self.start(batch)()

    def check_process(self) -> None:
        """Raise in a process that was forked from the one that opened the engine.

        Raises
        ------
        HeadstartError
        """
        if self.process is not None and self.process != os.getpid():
            raise forked_error("an engine", self.process)


def open_engine(name: str, recipe: Recipe, threads: int | None = None) -> Engine:
    """Make an engine for a recipe.

    Parameters
    ----------
    name : str
        An entry of `ENGINES`, or ``auto``: what the recipe needs, else Keras where a GPU is
        visible, else OpenVINO.
    recipe : Recipe
    threads : int, optional
        Of the CPU; by default all that this process may use.

    Raises
    ------
    HeadstartError
        If the name is unknown, the engine cannot compute the recipe, or the recipe's weights
        are not in the cache.
    """
    check_engine(name, recipe)
    name = chosen_engine(recipe) if name == "auto" else name
    module, engine = ENGINES[name].split(":")
    opened = getattr(import_module(module), engine)(recipe, threads or available_threads())
    opened.process = os.getpid()
    return opened


def check_engine(name: str, recipe: Recipe) -> None:
    """Raise if an engine is unknown or cannot compute a recipe; nothing is imported for it.

    Raises
    ------
    HeadstartError
    """
    if name not in (*ENGINES, "auto"):
        raise unknown_name("engine", name, [*ENGINES, "auto"])
    if name == "auto" and not _able(recipe):
        raise HeadstartError(
            "no engine can compute this recipe",
            "precision float32 with int8",
            f"precision {recipe.precision} with {recipe.quantization}",
            "leave --precision or --quantization out",
        )
    for field, values in _COMPUTES.get(name, {}).items():
        found = getattr(recipe, field)
        if found not in values:
            raise HeadstartError(
                f"the engine {name} cannot compute with {field} {found}",
                f"{field} {' or '.join(values)}",
                found,
                "leave --engine out, or choose another one",
            )


def _able(recipe: Recipe) -> list[str]:
    """Return the engines that can compute a recipe."""
    return [
        name
        for name, fields in _COMPUTES.items()
        if all(getattr(recipe, field) in values for field, values in fields.items())
    ]


def chosen_engine(recipe: Recipe) -> str:
    """Return the engine that ``auto`` stands for."""
    able = _able(recipe)
    if len(able) == 1:
        return able[0]
    import tensorflow as tf

    return "keras" if tf.config.list_physical_devices("GPU") else "openvino"


def cpu_engine(recipe: Recipe) -> str:
    """Return the engine that ``auto`` stands for where there is no GPU; nothing is imported for it."""
    able = _able(recipe)
    return "openvino" if "openvino" in able or not able else able[0]


def available_threads() -> int:
    """Return how many threads of the CPU this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


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
