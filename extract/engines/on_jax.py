"""The Keras engine on JAX."""

import os
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from extract.engines.runtime import Runtime

if TYPE_CHECKING:
    import jax
    import keras

_MATRIX_PRODUCTS = {"float32": "highest"}  # with fewer bits of the operands otherwise, on tensor cores


class OnJax(Runtime):
    """One jitted function for each batch size; calls return at once, while the device computes."""

    fixed = True

    def __init__(self, threads: int) -> None:
        os.environ.setdefault("NPROC", str(threads))  # read before XLA's first operation
        self.gpus = self.seen()
        self.batch_size = 128 if self.gpus else 8

    @staticmethod
    def seen() -> list[str]:
        os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # it would take most of the memory
        import jax

        return [device.device_kind for device in jax.local_devices() if device.platform == "gpu"]

    def compile(self, model: "keras.Model", precision: str) -> None:
        import jax

        self._device = jax.local_devices()[0]
        weights = jax.device_put(
            [
                [variable.value for variable in group]
                for group in (model.trainable_variables, model.non_trainable_variables)
            ],
            self._device,
        )

        def run(weights: "list[list[jax.Array]]", pixels: "jax.Array") -> "list[jax.Array]":
            with jax.default_matmul_precision(_MATRIX_PRODUCTS.get(precision, "default")):
                features, _ = model.stateless_call(*weights, pixels, training=False)
            return jax.tree.leaves(features)

        self._run = partial(jax.jit(run), weights)  # captured, weights would be constants of the code

    def start(self, pixels: np.ndarray) -> list:
        import jax

        started = self._run(jax.device_put(pixels, self._device))
        for features in started:
            features.copy_to_host_async()
        return started

    def fetch(self, started: list) -> list[np.ndarray]:
        return [np.asarray(features) for features in started]

    @staticmethod
    def is_out_of_memory(error: Exception) -> bool:
        import jax

        return isinstance(error, jax.errors.JaxRuntimeError) and "RESOURCE_EXHAUSTED" in str(error)
