"""Keras on a GPU or a CPU."""

import numpy as np

from extract.backbones import feature_model
from extract.weights import load_backbone


class KerasEngine:
    """Run the backbone with Keras; one compiled function serves every batch size.

    Parameters
    ----------
    recipe : Recipe
    """

    def __init__(self, recipe):
        import tensorflow as tf

        tf.config.experimental.enable_tensor_float_32_execution(False)  # float32 means float32
        model = feature_model(recipe, load_backbone(recipe.backbone, recipe.image_size, recipe.weights))
        signature = [tf.TensorSpec((None, *recipe.image_size, 3), tf.float32)]
        self._run = tf.function(
            lambda pixels: tf.nest.flatten(model(pixels, training=False)), input_signature=signature
        )

    def __call__(self, batch: np.ndarray) -> list[np.ndarray]:
        return [features.numpy() for features in self._run(batch)]

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
