"""A backbone in OpenVINO's format by Keras' own backend of that name: no TensorFlow is needed.

    KERAS_BACKEND=openvino python -m extract.engines.translation RECIPE MODEL.xml

It is a process of its own, since Keras cannot change its backend in one that has imported it.
"""

import sys
from typing import TYPE_CHECKING

import numpy as np

from data.text import one_line
from extract.backbones.build import check_pooling, tapped
from extract.backbones.kinds import is_own
from extract.backbones.scaling import scaling_of
from extract.backbones.weights import load_backbone
from extract.engines.conversion import quiet_openvino, without_telemetry
from extract.recipe import Recipe

if TYPE_CHECKING:
    import openvino

_CHANNELS_LAST = ("convnext", "densenet", "nasnet")  # Keras builds these in no other order
_TO_CHANNELS_FIRST = (0, 3, 1, 2)


def _translate(recipe: Recipe) -> "openvino.Model":
    """Build backbone, scaling and pooling, where Keras has the backend OpenVINO.

    Layers that get channels first, as OpenVINO has them, need no transposition between them, with
    which the model would take half as long again.
    """
    with without_telemetry():
        import keras
        import openvino
        from openvino import opset13 as ops

    first = not (is_own(recipe.backbone) or recipe.backbone.startswith(_CHANNELS_LAST))
    keras.config.set_image_data_format("channels_first" if first else "channels_last")
    backbone = tapped(load_backbone(recipe.backbone, recipe.image_size, recipe.weights), recipe.layers)
    pixels = ops.parameter([-1, *recipe.image_size, 3], np.float32)
    images = _scaled(pixels, recipe.scaling)
    if first:
        images = ops.transpose(images, ops.constant(np.array(_TO_CHANNELS_FIRST)))
    tensor = type(keras.ops.convert_to_tensor(0.0))  # Keras' wrapper of a node
    maps = backbone(tensor(images.output(0)), training=False)
    places = np.array((2, 3) if first else (1, 2))
    results = [
        ops.result(_pooled(each.output, recipe.pooling, places))
        for each in (maps if isinstance(maps, list) else [maps])
    ]
    return openvino.Model(results, [pixels])


def _scaled(pixels: "openvino.Node", scaling: str) -> "openvino.Node":
    """Apply a scaling, as `extract.backbones.build.scaled` does in a Keras graph."""
    from openvino import opset13 as ops

    entry = scaling_of(scaling)
    if entry.reverse_channels:
        pixels = ops.gather(pixels, ops.constant(np.array([2, 1, 0])), ops.constant(np.array(3)))
    scaled = ops.multiply(pixels, ops.constant(np.array(entry.scale, np.float32)))
    return ops.add(scaled, ops.constant(np.array(entry.offset, np.float32)))


def _pooled(output: "openvino.Output", pooling: str, places: np.ndarray) -> "openvino.Node | openvino.Output":
    """Make vectors of an output, as `extract.backbones.build.pooled` does in a Keras graph."""
    from openvino import opset13 as ops

    axes = output.get_partial_shape().rank.get_length()
    check_pooling(axes, pooling, output.get_node().get_friendly_name())
    if pooling == "cls":
        return ops.gather(output, ops.constant(np.array(0)), ops.constant(np.array(1)))
    if axes == 2:
        return output
    return ops.reduce_mean(output, ops.constant(places if axes == 4 else np.array([1])), keep_dims=False)


def main(recipe: str, path: str) -> None:
    """Write the model of a recipe in JSON, or end with the reason in one line."""
    try:
        model = _translate(Recipe.from_json(recipe))
        quiet_openvino().save_model(model, path, compress_to_fp16=False)
    except Exception as error:
        sys.exit(one_line(str(error)))


if __name__ == "__main__":
    main(*sys.argv[1:])
