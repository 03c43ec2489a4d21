"""Keras on one GPU, or a CPU, with any of its backends."""

import logging
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING

import numpy as np

from data.errors import HeadstartError
from data.text import one_line
from extract.backbones.build import pooled, scaled, tapped
from extract.backbones.keras_backend import keras_backend
from extract.backbones.weights import load_backbone
from extract.engines.engine import Engine
from extract.engines.runtime import runtime_class
from extract.recipe import EngineInfo, Recipe

if TYPE_CHECKING:
    import keras

POLICIES = {"float32": "float32", "float16": "mixed_float16", "bfloat16": "mixed_bfloat16"}
_log = logging.getLogger("headstart.engines")


def feature_model(recipe: Recipe, backbone: "keras.Model") -> "keras.Model":
    """Put scaling in front of a backbone and pooling behind each output layer.

    Parameters
    ----------
    recipe : Recipe
    backbone : keras.Model
        As `extract.backbones.build.build_backbone` makes it.

    Returns
    -------
    keras.Model
        From pixels in 0..255, (B, H, W, 3), to a list of features (B, D), one for each layer.

    Raises
    ------
    HeadstartError
        If a layer is unknown; the nearest names are listed.
    """
    import keras

    inputs = keras.Input((*recipe.image_size, 3))
    maps = tapped(backbone, recipe.layers)(scaled(inputs, recipe.scaling), training=False)
    return keras.Model(inputs, pooled(maps, recipe.pooling))


class KerasEngine(Engine):
    """Run the backbone with Keras, on whatever backend it has.

    A process computes on one GPU, the first that it sees; several take several processes, as Ray's
    runner starts them. While a GPU computes, the next batch is on its way to it. Where a batch size
    costs a compilation there is one: larger batches are split, smaller ones filled up.

    Parameters
    ----------
    recipe : Recipe
    threads : int
        Of a CPU; TensorFlow and JAX take them only before their first operation.
    """

    def __init__(self, recipe: Recipe, threads: int) -> None:
        self._backend = keras_backend()
        self._runtime = runtime_class(self._backend)(threads)
        gpus = self._runtime.gpus
        self.batch_size, self.ahead = self._runtime.batch_size, 2 if gpus else 0
        if len(gpus) > 1:
            _log.info(
                "%d GPUs are visible, and one is used: --runner ray --num-gpus 1 uses them all", len(gpus)
            )
        policy = POLICIES[recipe.precision]
        backbone = load_backbone(recipe.backbone, recipe.image_size, recipe.weights, policy)
        self._runtime.compile(feature_model(recipe, backbone), recipe.precision)

    def start(self, batch: np.ndarray) -> Callable[[], list[np.ndarray]]:
        size = self.batch_size
        finish = [self._started(batch[first : first + size]) for first in range(0, len(batch), size)]
        if len(finish) == 1:
            return finish[0]
        return lambda: [np.concatenate(layers) for layers in zip(*(each() for each in finish), strict=True)]

    def _started(self, batch: np.ndarray) -> Callable[[], list[np.ndarray]]:
        """Start on a batch no larger than `batch_size`."""
        filled = _filled(batch, self.batch_size) if self._runtime.fixed else batch
        try:
            started = self._runtime.start(filled)
        except Exception as error:
            self._lower(len(filled), error)
            return lambda: self(batch)

        def finish() -> list[np.ndarray]:
            try:
                return [features[: len(batch)] for features in self._runtime.fetch(started)]
            except Exception as error:
                self._lower(len(filled), error)
            return self(batch)

        return finish

    def _lower(self, size: int, error: Exception) -> None:
        """Halve the batches after one for which the memory was too small; another error goes on."""
        if not self._runtime.is_out_of_memory(error):
            raise error
        if size == 1:
            raise HeadstartError(
                "the device has too little memory for one image",
                "memory for the backbone and one image",
                one_line(error),
                "choose a smaller --image-size, or --engine openvino",
            ) from error
        self.batch_size = min(self.batch_size, (size + 1) // 2)
        _log.warning("the device is out of memory: batches of %d images from now on", self.batch_size)

    def describe(self) -> EngineInfo:
        import keras

        device = next(iter(self._runtime.gpus), "CPU")
        versions = ((self._backend, import_module(self._backend).__version__),)
        return EngineInfo("keras", keras.__version__, device, versions)


def _filled(batch: np.ndarray, size: int) -> np.ndarray:
    """Return a batch with as many black images behind it as `size` needs."""
    if len(batch) == size:
        return batch
    return np.concatenate([batch, np.zeros((size - len(batch), *batch.shape[1:]), batch.dtype)])
