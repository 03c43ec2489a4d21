"""The Keras engine on TensorFlow."""

import logging
from typing import TYPE_CHECKING

import numpy as np

from extract.engines.runtime import Runtime

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

_log = logging.getLogger("headstart.engines")


class OnTensorFlow(Runtime):
    """One traced function; on a GPU every new batch size is tuned anew, so that it is fixed there."""

    def __init__(self, threads: int) -> None:
        import tensorflow as tf

        self.gpus = self.seen()
        self.fixed = bool(self.gpus)
        self.batch_size = 128 if self.gpus else 32
        _prepare(threads)
        tf.config.experimental.enable_tensor_float_32_execution(False)

    @staticmethod
    def seen() -> list[str]:
        import tensorflow as tf

        details = tf.config.experimental.get_device_details
        return [details(gpu).get("device_name", "GPU") for gpu in tf.config.list_physical_devices("GPU")]

    def compile(self, model: "keras.Model", precision: str) -> None:
        import tensorflow as tf

        def run(pixels: "tf.Tensor") -> "list[tf.Tensor]":
            return tf.nest.flatten(model(pixels, training=False))

        signature = [tf.TensorSpec((None, *model.input_shape[1:]), tf.float32)]
        self._run = tf.function(run, input_signature=signature)

    def start(self, pixels: np.ndarray) -> list:
        return self._run(pixels)

    def fetch(self, started: list) -> list[np.ndarray]:
        return [features.numpy() for features in started]

    @staticmethod
    def is_out_of_memory(error: Exception) -> bool:
        import tensorflow as tf

        return isinstance(error, tf.errors.ResourceExhaustedError)


def _prepare(threads: int) -> None:
    """Set what TensorFlow takes before its first operation only."""
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        if gpus:
            tf.config.set_visible_devices(gpus[0], "GPU")
            tf.config.experimental.set_memory_growth(gpus[0], True)
    except RuntimeError:
        _log.debug("TensorFlow was in use before: its threads and its GPU memory stay as they are")
