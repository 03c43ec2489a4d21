"""Engines run a backbone over batches of pixels; the table and what they share."""

import os
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

import numpy as np

from data.errors import HeadstartError, unknown_name
from data.machine import cores
from data.output.cache import in_cache
from extract.backbones.build import forked_error
from extract.backbones.kinds import kind_of, need_keras_graph
from extract.engines.runtime import sees_gpu
from extract.recipe import EngineInfo, Recipe


@dataclass(frozen=True)
class EngineEntry:
    """All of an engine: adding one is adding its entry to `ENGINES`, and its module.

    Attributes
    ----------
    path : str
        ``module:class`` of the `Engine`, imported on use.
    packages : tuple of str
        Whose versions may change what it computes.
    precision, quantization : tuple of str
        Values of a recipe's fields that it can compute.
    gpu : bool
        Whether it computes on a GPU where Keras' backend sees one.
    graphs : tuple of str
        Of which `extract.backbones.kinds.Kind` it computes backbones.
    """

    path: str
    packages: tuple[str, ...]
    precision: tuple[str, ...] = ("float32",)
    quantization: tuple[str, ...] = ("none",)
    gpu: bool = False
    graphs: tuple[str, ...] = ("keras",)

    def computes(self, recipe: Recipe) -> bool:
        """Tell whether the engine can compute a recipe."""
        arithmetic = recipe.precision in self.precision and recipe.quantization in self.quantization
        return arithmetic and kind_of(recipe.backbone).graph in self.graphs


ENGINES = {  # on a CPU, `auto` takes the first that can compute the recipe
    "openvino": EngineEntry(
        "extract.engines.openvino_engine:OpenVinoEngine",
        ("keras", "openvino", "tensorflow"),
        precision=("float32", "bfloat16"),
        quantization=("none", "int8"),
        graphs=("keras", "openvino"),
    ),
    "keras": EngineEntry(
        "extract.engines.keras_engine:KerasEngine",
        ("keras", "tensorflow"),
        precision=("float32", "float16", "bfloat16"),
        gpu=True,
    ),
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
    def describe(self) -> EngineInfo:
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


class SimulatedError(HeadstartError):
    """This machine would only simulate the arithmetic of a recipe, slowly."""


def open_engine(name: str, recipe: Recipe, threads: int | None = None, *, simulate: bool = False) -> Engine:
    """Make an engine for a recipe.

    Parameters
    ----------
    name : str
        An entry of `ENGINES`, or ``auto``: what the recipe needs, else one for a GPU where one is
        visible, else the first.
    recipe : Recipe
    threads : int, optional
        Of the CPU; by default all that this process may use.
    simulate : bool
        Whether to take Keras where the engine would have to simulate the arithmetic, as for a few
        images of a recipe that another machine has chosen.

    Raises
    ------
    HeadstartError
        If the name is unknown, the engine cannot compute the recipe, or the recipe's weights
        are not in the cache.
    """
    check_engine(name, recipe)
    name = chosen_engine(recipe) if name == "auto" else name
    module, engine = ENGINES[name].path.split(":")
    try:
        with in_cache():  # weights and models come from there
            opened = getattr(import_module(module), engine)(recipe, threads or available_threads())
    except SimulatedError:
        if not simulate:
            raise
        return open_engine("keras", recipe, threads)
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
    if name == "auto":
        if not _able(recipe):
            raise _no_engine(recipe)
        return
    entry = ENGINES[name]
    if kind_of(recipe.backbone).graph not in entry.graphs:
        need_keras_graph(recipe.backbone, f"the engine {name}")
    for field, values in (("precision", entry.precision), ("quantization", entry.quantization)):
        found = getattr(recipe, field)
        if found not in values:
            raise HeadstartError(
                f"the engine {name} cannot compute with {field} {found}",
                f"{field} {' or '.join(values)}",
                found,
                "leave --engine out, or choose another one",
            )


def _no_engine(recipe: Recipe) -> HeadstartError:
    graph = kind_of(recipe.backbone).graph
    able = [entry for entry in ENGINES.values() if graph in entry.graphs]
    fitting = [entry.precision for entry in able if recipe.quantization in entry.quantization]
    precisions = dict.fromkeys(precision for values in fitting for precision in values)
    return HeadstartError(
        "no engine can compute this recipe",
        f"precision {' or '.join(precisions)} with {recipe.quantization}",
        f"precision {recipe.precision} with {recipe.quantization}",
        "leave --precision or --quantization out",
    )


def _able(recipe: Recipe) -> list[str]:
    """Return the engines that can compute a recipe."""
    return [name for name, entry in ENGINES.items() if entry.computes(recipe)]


def chosen_engine(recipe: Recipe) -> str:
    """Return the engine that ``auto`` stands for."""
    able = _able(recipe)
    with_gpu = [name for name in able if ENGINES[name].gpu]
    return with_gpu[0] if with_gpu and len(able) > 1 and sees_gpu() else able[0]


def cpu_engine(recipe: Recipe) -> str:
    """Return the engine that ``auto`` stands for where there is no GPU; nothing is imported for it."""
    return next(iter(_able(recipe) or ENGINES))


def engine_help() -> str:
    """Return the values of ``--engine`` in words."""
    *names, last = ENGINES
    return f"auto, {', '.join(names)} or {last}."


def values_help(field: str, between: str) -> str:
    """Return the values of a field that engines restrict in words: what is usual, and who can do more.

    Parameters
    ----------
    field : str
        ``precision`` or ``quantization``.
    between : str
        What parts the usual value from the others.

    Examples
    --------
    >>> values_help("precision", "; ")
    'float32; bfloat16 with openvino, float16 or bfloat16 with keras.'
    """
    usual = getattr(EngineEntry("", ()), field)
    by_values: dict[tuple[str, ...], list[str]] = {}
    for name, entry in ENGINES.items():
        if more := tuple(value for value in getattr(entry, field) if value not in usual):
            by_values.setdefault(more, []).append(name)
    told = [f"{' or '.join(values)} with {' or '.join(names)}" for values, names in by_values.items()]
    return f"{usual[0]}{between}{', '.join(told)}."


def makers(*names: str) -> tuple[str, ...]:
    """Return the packages whose versions may change what engines compute.

    Parameters
    ----------
    *names : str
        Entries of `ENGINES`; by default all.

    Examples
    --------
    >>> makers("keras")
    ('keras', 'tensorflow')
    """
    return tuple(sorted({package for name in names or ENGINES for package in ENGINES[name].packages}))


def available_threads() -> int:
    """Return how many threads of the CPU this process may use."""
    return cores()
