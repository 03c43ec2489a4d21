"""EfficientNet-Lite: EfficientNet without squeeze and excitation, with ReLU6, for small CPUs.

Blocks, widths and depths are those of ``efficientnet/lite/efficientnet_lite_builder.py`` among TensorFlow's
models for TPUs.
"""

import math
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from data.errors import HeadstartError
from extract.ported.torch_file import read_torch

if TYPE_CHECKING:
    import keras

_DIVISOR = 8  # of numbers of channels
_STEM, _TOP = 32, 1280  # channels, the same at every width
_EPSILON, _MOMENTUM = 1e-3, 0.99


class _Stage(NamedTuple):
    repeats: int
    kernel: int
    stride: int
    expand: int
    channels: int


_STAGES = (
    _Stage(1, 3, 1, 1, 16),
    _Stage(2, 3, 2, 6, 24),
    _Stage(2, 5, 2, 6, 40),
    _Stage(3, 3, 2, 6, 80),
    _Stage(3, 5, 1, 6, 112),
    _Stage(4, 5, 2, 6, 192),
    _Stage(1, 3, 1, 6, 320),
)


def efficientnet_lite0(input_shape: tuple[int, int, int], **as_in_keras: object) -> "keras.Model":
    """Build EfficientNet-Lite 0 without its top, weights not loaded.

    Parameters
    ----------
    input_shape : tuple of int
        Of one image, channels where Keras has them.
    **as_in_keras
        What builders of keras.applications take besides; it changes nothing.

    Returns
    -------
    keras.Model
        From scaled pixels to 1,280 feature maps of 1/32 of the sides.
    """
    return _built("efficientnetlite0", 1.0, 1.0, input_shape)


def efficientnet_lite2(input_shape: tuple[int, int, int], **as_in_keras: object) -> "keras.Model":
    """Build EfficientNet-Lite 2, as `efficientnet_lite0` does: wider and deeper."""
    return _built("efficientnetlite2", 1.1, 1.2, input_shape)


def read_weights(model: "keras.Model", path: Path) -> None:
    """Load what a file of PyTorch holds; the classifier of ImageNet's classes and counters are left out.

    Parameters
    ----------
    model : keras.Model
        That of the file, changed in place.
    path : Path

    Raises
    ------
    HeadstartError
        If the file has other tensors.
    """
    state = read_torch(path)
    kept = [(name, each) for name, each in state.items() if each.ndim and not name.startswith("_fc.")]
    tensors = [_kernel(each, "depthwise" in name) if each.ndim == 4 else each for name, each in kept]
    shapes = [tuple(weight.shape) for weight in model.weights]
    if [each.shape for each in tensors] != shapes:
        raise HeadstartError(
            f"{path.name!r} holds no weights of this backbone",
            f"{len(shapes)} tensors with the shapes of {model.name}",
            f"{len(tensors)} tensors, or others",
            "choose the file that belongs to --backbone",
        )
    model.set_weights(tensors)


def _built(name: str, width: float, depth: float, input_shape: tuple[int, int, int]) -> "keras.Model":
    import keras

    image = keras.Input(input_shape)
    maps = _convolved(image, _STEM, 3, 2, "stem")
    for index, stage in enumerate(_STAGES):
        ends = index in (0, len(_STAGES) - 1)  # which are no deeper at any depth
        channels = _channels(stage.channels * width)
        for repeat in range(stage.repeats if ends else math.ceil(depth * stage.repeats)):
            block = stage._replace(stride=1 if repeat else stage.stride, channels=channels)
            maps = _block(maps, block, f"block{index + 1}{chr(ord('a') + repeat)}")
    return keras.Model(image, _convolved(maps, _TOP, 1, 1, "top"), name=name)


def _channels(wanted: float) -> int:
    """Return a multiple of 8 near a number, no more than a tenth below it."""
    rounded = max(_DIVISOR, int(wanted + _DIVISOR / 2) // _DIVISOR * _DIVISOR)
    return rounded + _DIVISOR if rounded < 0.9 * wanted else rounded


def _block(maps: "keras.KerasTensor", stage: _Stage, name: str) -> "keras.KerasTensor":
    """Apply an inverted residual block."""
    import keras

    entered, channels = maps, maps.shape[_axis()]
    if stage.expand != 1:
        maps = _convolved(maps, stage.expand * channels, 1, 1, f"{name}_expand")
    depthwise = keras.layers.DepthwiseConv2D(
        stage.kernel, stage.stride, padding="same", use_bias=False, name=f"{name}_dwconv"
    )
    maps = _activated(_normalized(depthwise(maps), f"{name}_dw"), f"{name}_dw")
    project = keras.layers.Conv2D(stage.channels, 1, use_bias=False, name=f"{name}_project_conv")
    maps = _normalized(project(maps), f"{name}_project")
    if stage.stride == 1 and channels == stage.channels:
        maps = keras.layers.Add(name=f"{name}_add")([maps, entered])
    return maps


def _convolved(
    maps: "keras.KerasTensor", channels: int, kernel: int, stride: int, name: str
) -> "keras.KerasTensor":
    import keras

    layer = keras.layers.Conv2D(channels, kernel, stride, padding="same", use_bias=False, name=f"{name}_conv")
    return _activated(_normalized(layer(maps), name), name)


def _normalized(maps: "keras.KerasTensor", name: str) -> "keras.KerasTensor":
    import keras

    return keras.layers.BatchNormalization(_axis(), _MOMENTUM, _EPSILON, name=f"{name}_bn")(maps)


def _activated(maps: "keras.KerasTensor", name: str) -> "keras.KerasTensor":
    import keras

    return keras.layers.ReLU(6.0, name=f"{name}_activation")(maps)


def _axis() -> int:
    """Return where Keras has channels."""
    import keras

    return -1 if keras.config.image_data_format() == "channels_last" else 1


def _kernel(kernel: np.ndarray, depthwise: bool) -> np.ndarray:
    """Return a kernel as Keras has it: height, width, then channels in and out."""
    return kernel.transpose(2, 3, 0, 1) if depthwise else kernel.transpose(2, 3, 1, 0)
