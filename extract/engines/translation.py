"""A backbone in OpenVINO's format by Keras' own backend of that name: no TensorFlow is needed.

    KERAS_BACKEND=openvino python -m extract.engines.translation RECIPE MODEL.xml

It is a process of its own, since Keras cannot change its backend in one that has imported it.
"""

import sys
from typing import TYPE_CHECKING

import numpy as np

from data.text import one_line
from extract.backbones.build import tapped
from extract.backbones.kinds import is_own
from extract.backbones.weights import load_backbone
from extract.engines.file_graph import TO_CHANNELS_FIRST, pooled_node, scaled_node
from extract.model_files.openvino_graph import quiet_openvino, without_telemetry
from extract.recipe import Recipe

if TYPE_CHECKING:
    import openvino

_CHANNELS_LAST = ("convnext", "densenet", "nasnet")  # Keras builds these in no other order


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
    images = scaled_node(pixels, recipe.scaling)
    if first:
        images = ops.transpose(images, ops.constant(np.array(TO_CHANNELS_FIRST)))
    tensor = type(keras.ops.convert_to_tensor(0.0))  # Keras' wrapper of a node
    maps = backbone(tensor(images.output(0)), training=False)
    places = (2, 3) if first else (1, 2)
    results = [
        ops.result(pooled_node(each.output, recipe.pooling, places))
        for each in (maps if isinstance(maps, list) else [maps])
    ]
    return openvino.Model(results, [pixels])


def main(recipe: str, path: str) -> None:
    """Write the model of a recipe in JSON, or end with the reason in one line."""
    try:
        model = _translate(Recipe.from_json(recipe))
        quiet_openvino().save_model(model, path, compress_to_fp16=False)
    except Exception as error:
        sys.exit(one_line(str(error)))


if __name__ == "__main__":
    main(*sys.argv[1:])
