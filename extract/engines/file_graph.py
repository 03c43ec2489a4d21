"""Scaling in front of a graph of OpenVINO's and pooling behind it, and a user's model file between them."""

import math
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np

from data.child import command_of, environment
from data.errors import UsageError
from extract.backbones.build import check_pooling, flops, pooled_backbone
from extract.backbones.kinds import kind_of, short_name
from extract.backbones.scaling import scaling_of
from extract.model_files.core import cpu_core
from extract.model_files.openvino_graph import Graph, opened_graph, outputs_of, quiet_openvino
from extract.recipe import Recipe

if TYPE_CHECKING:
    import openvino

TO_CHANNELS_FIRST = (0, 3, 1, 2)
_COUNTED = ("Convolution", "GroupConvolution", "MatMul")  # of which operations are counted


def file_model(recipe: Recipe) -> "openvino.Model":
    """Build the model of a recipe whose backbone is an ONNX or IR file, from pixels in 0..255 to features.

    It takes any number of images, or one alone where others would change what comes of it.

    Raises
    ------
    HeadstartError
        If our cache lacks the file, it takes no images of this size, or a layer cannot be pooled so.
    """
    model = _with_ends(recipe, opened_graph(recipe.backbone, recipe.image_size))
    if model.inputs[0].get_partial_shape()[0].is_dynamic and not _rows_are_their_own(model):
        return _with_ends(recipe, opened_graph(recipe.backbone, recipe.image_size, (1,)))
    return model


def _with_ends(recipe: Recipe, graph: Graph) -> "openvino.Model":
    from openvino import opset13 as ops

    given = graph.model.get_parameters()[0]
    batch = -1 if given.get_partial_shape()[0].is_dynamic else 1
    pixels = ops.parameter([batch, *recipe.image_size, 3], np.float32)
    images = scaled_node(pixels, recipe.scaling)
    if graph.channels_first:
        images = ops.transpose(images, ops.constant(np.array(TO_CHANNELS_FIRST)))
    if (kind := given.get_element_type().get_type_name()) != "f32":
        images = ops.convert(images if "f" in kind else _whole(images, recipe), kind)
    outputs = outputs_of(graph, recipe.layers)
    vectors = [pooled_node(each, recipe.pooling, _places(each, graph.channels_first)) for each in outputs]
    results = [ops.result(ops.convert(each, "f32")) for each in vectors]
    given.output(0).replace(images.output(0))
    return quiet_openvino().Model(results, [pixels], "features")


def _whole(images: "openvino.Node", recipe: Recipe) -> "openvino.Node":
    """Round pixels for a model that takes whole numbers, or raise where scaling leaves nothing of them."""
    from openvino import opset13 as ops

    if recipe.scaling != "none":
        raise UsageError(
            f"{short_name(recipe.backbone)} takes whole numbers, of which scaled pixels are none",
            "--scaling none: such a model scales by itself",
            f"--scaling {recipe.scaling}",
            "correct --scaling",
        )
    return ops.round(images, "HALF_TO_EVEN")


def _rows_are_their_own(model: "openvino.Model") -> bool:
    """Tell whether a model computes of several images what it computes of each alone."""
    sides = [side.get_length() for side in list(model.inputs[0].get_partial_shape())[1:]]
    images = np.random.default_rng(0).integers(0, 256, (3, *sides)).astype(np.float32)
    images *= np.array([0.2, 0.6, 1.0], np.float32).reshape(3, 1, 1, 1)  # unlike each other in the mean too
    compiled = cpu_core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    try:
        together = [np.array(found) for found in compiled(images).values()]
        alone = [[np.array(found) for found in compiled(image[np.newaxis]).values()] for image in images]
    except RuntimeError:
        return False
    rows = [np.concatenate(each) for each in zip(*alone, strict=True)]
    return all(
        one.shape == two.shape
        and np.allclose(one, two, rtol=1e-4, atol=1e-5 * np.abs(two).max(), equal_nan=True)
        for one, two in zip(together, rows, strict=True)
    )


def scaled_node(pixels: "openvino.Node", scaling: str) -> "openvino.Node":
    """Apply a scaling, as `extract.backbones.build.scaled` does in a Keras graph."""
    from openvino import opset13 as ops

    entry = scaling_of(scaling)
    if entry.reverse_channels:
        pixels = ops.gather(pixels, ops.constant(np.array([2, 1, 0])), ops.constant(np.array(3)))
    scaled = ops.multiply(pixels, ops.constant(np.array(entry.scale, np.float32)))
    return ops.add(scaled, ops.constant(np.array(entry.offset, np.float32)))


def pooled_node(
    output: "openvino.Output", pooling: str, places: tuple[int, int]
) -> "openvino.Node | openvino.Output":
    """Make vectors of an output, as `extract.backbones.build.pooled` does in a Keras graph.

    Parameters
    ----------
    output : openvino.Output
    pooling : str
    places : tuple of int
        The axes of height and width, where it is a map.
    """
    from openvino import opset13 as ops

    axes = output.get_partial_shape().rank.get_length()
    check_pooling(axes, pooling, min(output.get_names(), default=output.get_node().get_friendly_name()))
    if pooling == "cls":
        return ops.gather(output, ops.constant(np.array(0)), ops.constant(np.array(1)))
    if axes == 2:
        return output
    return ops.reduce_mean(output, ops.constant(np.array(places if axes == 4 else (1,))), keep_dims=False)


def _places(output: "openvino.Output", channels_first: bool) -> tuple[int, int]:
    """Return the axes of height and width of a map, of which one end has the channels.

    Programs that write ONNX turn maps around inside of a graph; sides of a square image are alike.
    """
    shape = output.get_partial_shape()
    if shape.rank.get_length() == 4 and all(side.is_static for side in list(shape)[1:]):
        one, two, three = (shape[axis].get_length() for axis in (1, 2, 3))
        if (one == two) != (two == three):
            return (1, 2) if one == two else (2, 3)
    return (2, 3) if channels_first else (1, 2)


def gflop(recipe: Recipe) -> float:
    """Return the operations of one image up to the deepest layer of a recipe, in 1e9.

    Two for each multiplication and addition of convolutions and matrix products.
    """
    if kind_of(recipe.backbone).graph == "keras":
        return _apart(recipe)
    alone = _with_ends(recipe, opened_graph(recipe.backbone, recipe.image_size, (1, -1)))
    return sum(map(_operations, alone.get_ordered_ops())) / 1e9


def _of_keras(recipe: Recipe) -> float:
    return flops(pooled_backbone(recipe.backbone, recipe.image_size, recipe.layers)) / 1e9


def _apart(recipe: Recipe) -> float:
    """Count in a process of its own, as Keras takes 600 MB that this one need not keep."""
    if "keras" not in sys.modules:
        command = command_of(__name__, recipe.to_json())
        done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
        if not done.returncode:
            return float(done.stdout.split()[-1])
    return _of_keras(recipe)


def _operations(node: "openvino.Node") -> int:
    if node.get_type_name() not in _COUNTED:
        return 0
    made, taken = node.output(0).get_partial_shape(), node.input_value(1).get_partial_shape()
    sides = [side.get_length() for side in made if side.is_static]
    weights = [side.get_length() for side in taken if side.is_static]
    if node.get_type_name() == "MatMul":
        inner = weights[-1] if node.get_attributes()["transpose_b"] else weights[-2]
        return 2 * math.prod(sides) * inner
    grouped = node.get_type_name() == "GroupConvolution"
    return 2 * math.prod(sides) * math.prod(weights[2 if grouped else 1 :])


if __name__ == "__main__":
    print(_of_keras(Recipe.from_json(sys.argv[1])))
