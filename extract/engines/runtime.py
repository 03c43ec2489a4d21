"""What a Keras backend does for the Keras engine: one class each, in a table."""

import glob
import os
import sys
from abc import ABC, abstractmethod
from importlib import import_module
from typing import TYPE_CHECKING

import numpy as np

from data.errors import HeadstartError
from extract.backbones.keras_backend import in_words, is_installed, keras_backend, wanted_backend

if TYPE_CHECKING:
    import keras

RUNTIMES = {
    "tensorflow": "extract.engines.on_tensorflow:OnTensorFlow",
    "jax": "extract.engines.on_jax:OnJax",
    "torch": "extract.engines.on_torch:OnTorch",
}
_CUDA = "CUDA_VISIBLE_DEVICES"
_DEVICES = {  # of Linux; and which variables can hide what is behind them
    "/dev/nvidia[0-9]*": (_CUDA,),
    "/dev/dxg": (_CUDA,),  # Windows' subsystem for Linux
    "/dev/kfd": ("HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES"),  # AMD
}


class Runtime(ABC):
    """Compiles a Keras model, and takes pixels through it.

    A runtime is made before Keras builds a model. Arithmetic of float32 is float32: no tensor core
    rounds its operands.

    Parameters
    ----------
    threads : int
        Of a CPU; a backend may take them before its first operation only.

    Attributes
    ----------
    gpus : list of str
        Names of those that the backend sees; the first is used.
    batch_size : int
        Images that it takes best at once.
    fixed : bool
        Whether each new batch size costs a compilation.
    """

    gpus: list[str]
    batch_size: int
    fixed: bool

    @abstractmethod
    def __init__(self, threads: int) -> None:
        """Set what the backend takes before its first operation."""

    @staticmethod
    @abstractmethod
    def seen() -> list[str]:
        """Return the names of the GPUs that the backend sees."""

    @abstractmethod
    def compile(self, model: "keras.Model", precision: str) -> None:
        """Compile a model from pixels (B, H, W, 3) to features, one output or a list of them."""

    @abstractmethod
    def start(self, pixels: np.ndarray) -> list:
        """Send pixels to the device and start on them; what is returned is for `fetch`."""

    @abstractmethod
    def fetch(self, started: list) -> list[np.ndarray]:
        """Wait for features, and return them as float32 arrays (B, D)."""

    @staticmethod
    @abstractmethod
    def is_out_of_memory(error: Exception) -> bool:
        """Tell whether an error says that the device's memory is too small."""


def runtime_class(backend: str) -> type[Runtime]:
    """Return the class of a backend, whose module is imported on use.

    Raises
    ------
    HeadstartError
        If the Keras engine cannot compute with it.
    """
    if backend not in RUNTIMES:
        raise HeadstartError(
            f"the engine keras cannot compute with {in_words(backend)}",
            " or ".join(map(in_words, RUNTIMES)),
            f"Keras with {in_words(backend)}, as KERAS_BACKEND names it or as what else is installed",
            "pip install jax, or name another with --keras-backend, or choose --engine openvino",
        )
    module, name = RUNTIMES[backend].split(":")
    return getattr(import_module(module), name)


def sees_gpu() -> bool:
    """Tell whether Keras' backend sees a GPU; it is imported only where there may be one."""
    backend = wanted_backend() if has_gpu_device() else ""
    if backend not in RUNTIMES or not is_installed(backend):
        return False
    return bool(runtime_class(keras_backend()).seen())


def has_gpu_device() -> bool:
    """Tell whether this machine may have a GPU that is not hidden; nothing is imported for it.

    On Linux its device file tells; elsewhere there may always be one.
    """
    if sys.platform != "linux":
        return True
    return any(glob.glob(path) and not any(map(_hidden, names)) for path, names in _DEVICES.items())


def _hidden(variable: str) -> bool:
    """Tell whether a variable hides all devices: CUDA counts those before the first that is none."""
    first = os.environ.get(variable, "0").split(",")[0].strip()
    return first in ("", "-1")
