"""Keras on one or several GPUs, or a CPU."""

import logging
from collections.abc import Callable

import numpy as np

from data.errors import HeadstartError
from extract.backbones import feature_model
from extract.engines import Engine
from extract.weights import load_backbone

POLICIES = {"float32": "float32", "float16": "mixed_float16", "bfloat16": "mixed_bfloat16"}
_log = logging.getLogger("headstart.engines")


class KerasEngine(Engine):
    """Run the backbone with Keras; one compiled function serves every batch size.

    Several GPUs share each batch. While a GPU computes, the next batch is on its way to it.

    Parameters
    ----------
    recipe : Recipe
    threads : int
        Of a CPU; TensorFlow takes them only before its first operation.
    """

    def __init__(self, recipe, threads: int):
        import tensorflow as tf

        self.batch_size, self.ahead = (128, 2) if _prepare(threads) else (32, 0)
        tf.config.experimental.enable_tensor_float_32_execution(False)  # float32 means float32
        self._strategy = _strategy()
        with self._strategy.scope():
            policy = POLICIES[recipe.precision]
            model = feature_model(
                recipe, load_backbone(recipe.backbone, recipe.image_size, recipe.weights, policy)
            )
        signature = [tf.TensorSpec((None, *recipe.image_size, 3), tf.float32)]

        def run(pixels):
            return tf.nest.flatten(model(pixels, training=False))

        self._run = tf.function(run, input_signature=signature)
        self._run_on_all = tf.function(
            lambda values: self._strategy.run(run, args=(values,)), reduce_retracing=True
        )

    def start(self, batch: np.ndarray) -> Callable[[], list[np.ndarray]]:
        import tensorflow as tf

        try:
            started = self._launch(batch)
        except tf.errors.ResourceExhaustedError:
            return lambda: self._halved(batch)

        def finish() -> list[np.ndarray]:
            try:
                return [np.concatenate([part.numpy() for part in parts]) for parts in started]
            except tf.errors.ResourceExhaustedError:
                return self._halved(batch)

        return finish

    def describe(self) -> dict:
        import keras
        import tensorflow as tf

        gpus = tf.config.list_physical_devices("GPU")
        device = (
            tf.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU") if gpus else "CPU"
        )
        return {
            "engine": "keras",
            "version": keras.__version__,
            "tensorflow": tf.__version__,
            "device": device,
        }

    def _launch(self, batch: np.ndarray) -> list[tuple]:
        """Start the backbone; return for each layer the features of each replica."""
        import tensorflow as tf

        replicas = self._strategy.num_replicas_in_sync
        if replicas == 1:
            return [(features,) for features in self._run(batch)]
        shards = np.array_split(batch, replicas)
        values = self._strategy.experimental_distribute_values_from_function(
            lambda context: tf.constant(shards[context.replica_id_in_sync_group])
        )
        layers = self._run_on_all(values)
        return [self._strategy.experimental_local_results(features) for features in layers]

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


def _strategy():
    import tensorflow as tf

    if len(tf.config.list_logical_devices("GPU")) > 1:
        return tf.distribute.MirroredStrategy()
    return tf.distribute.get_strategy()


def _prepare(threads: int) -> bool:
    """Set what TensorFlow takes before its first operation only; tell whether there is a GPU."""
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        for gpu in gpus:
            tf.config.experimental.set_memory_growth(gpu, True)
    except RuntimeError:
        _log.debug("TensorFlow was in use before: its threads and its GPU memory stay as they are")
    return bool(gpus)
