"""Keras on one GPU, or a CPU."""

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from data.errors import HeadstartError
from extract.backbones.build import pooled, scaled, tapped
from extract.backbones.weights import load_backbone
from extract.engines.engine import Engine
from extract.recipe import EngineInfo, Recipe

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

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
    return keras.Model(inputs, pooled(maps))


class KerasEngine(Engine):
    """Run the backbone with Keras; one compiled function serves every batch size.

    A process computes on one GPU, the first that it sees; several take several processes, as Ray's
    runner starts them. While a GPU computes, the next batch is on its way to it.

    Parameters
    ----------
    recipe : Recipe
    threads : int
        Of a CPU; TensorFlow takes them only before its first operation.
    """

    def __init__(self, recipe: Recipe, threads: int) -> None:
        import tensorflow as tf

        self.batch_size, self.ahead = (128, 2) if _prepare(threads) else (32, 0)
        tf.config.experimental.enable_tensor_float_32_execution(False)  # float32 means float32
        policy = POLICIES[recipe.precision]
        model = feature_model(
            recipe, load_backbone(recipe.backbone, recipe.image_size, recipe.weights, policy)
        )
        signature = [tf.TensorSpec((None, *recipe.image_size, 3), tf.float32)]

        def run(pixels: "tf.Tensor") -> "list[tf.Tensor]":
            return tf.nest.flatten(model(pixels, training=False))

        self._run = tf.function(run, input_signature=signature)

    def start(self, batch: np.ndarray) -> Callable[[], list[np.ndarray]]:
        import tensorflow as tf

        try:
            started = self._run(batch)
        except tf.errors.ResourceExhaustedError:
            return lambda: self._halved(batch)

        def finish() -> list[np.ndarray]:
            try:
                return [features.numpy() for features in started]
            except tf.errors.ResourceExhaustedError:
                return self._halved(batch)

        return finish

    def describe(self) -> EngineInfo:
        import keras
        import tensorflow as tf

        gpus = tf.config.list_physical_devices("GPU")
        device = (
            tf.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU") if gpus else "CPU"
        )
        return EngineInfo("keras", keras.__version__, device, (("tensorflow", tf.__version__),))

    def _halved(self, batch: np.ndarray) -> list[np.ndarray]:
        if len(batch) == 1:
            raise HeadstartError(
                "the device has too little memory for one image",
                "memory for the backbone and one image",
                f"an image of {batch.shape[1]}x{batch.shape[2]} pixels",
                "choose a smaller --image-size, or --engine openvino",
            )
        half = (len(batch) + 1) // 2
        self.batch_size = min(self.batch_size, half)
        _log.warning("the device is out of memory: batches of %d images from now on", half)
        halves = self(batch[:half]), self(batch[half:])
        return [np.concatenate(layers) for layers in zip(*halves, strict=True)]


def _prepare(threads: int) -> bool:
    """Set what TensorFlow takes before its first operation only; tell whether there is a GPU."""
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        if gpus:
            tf.config.set_visible_devices(gpus[0], "GPU")
            tf.config.experimental.set_memory_growth(gpus[0], True)
    except RuntimeError:
        _log.debug("TensorFlow was in use before: its threads and its GPU memory stay as they are")
    if len(gpus) > 1:
        _log.info("%d GPUs are visible, and one is used: --runner ray --num-gpus 1 uses them all", len(gpus))
    return bool(gpus)
