"""OpenVINO: models that say in their file that they are computed in float32, and how users run them.

On a CPU with bfloat16 OpenVINO computes in it by default, and no option of the whole model in the
file changes that: of ``runtime_options`` the CPU plugin of 2026.4 reads those of language models
alone. It leaves an operation in float32 that bears the attribute ``precise``, which the file can
hold, unless the plugin puts another operation in its place, which does not inherit it. So the kinds
that it replaces between pixels and probabilities are written here as what it leaves alone.
"""

import os
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from extract.backbones.kinds import plain_name
from extract.engines.file_graph import file_model
from extract.model_files.core import cpu_core
from extract.model_files.openvino_graph import quiet_openvino
from extract.recipe import Recipe

if TYPE_CHECKING:
    import keras
    import openvino

    from classify.bundle.folder import BundleContents


def keep_float32(path: Path) -> None:
    """Rewrite an OpenVINO model so that every CPU computes it in float32 by default.

    Parameters
    ----------
    path : Path
        Of its ``.xml``; the weights lie beside it.
    """
    openvino = quiet_openvino()
    model = openvino.Core().read_model(path)
    for operation in model.get_ordered_ops():
        if operation.get_type_name() in _REWRITTEN:
            _REWRITTEN[operation.get_type_name()](operation)
    model.validate_nodes_and_infer_types()
    aside = path.with_name(f"float32.{path.name}")  # the weights are mapped while they are read
    openvino.serialize(model, aside)
    _mark(aside)
    for suffix in (".xml", ".bin"):
        os.replace(aside.with_suffix(suffix), path.with_suffix(suffix))


def image_graph(bundle: "BundleContents", *, any_size: bool) -> "openvino.Model":
    """Build one OpenVINO model that does what `predict` does to decoded images, around a user's model file.

    Parameters
    ----------
    bundle : Bundle
        Of one recipe, whose backbone is an ONNX or IR file.
    any_size : bool
        Take images of any size and resize them to the recipe's; else take the recipe's only.

    Returns
    -------
    openvino.Model
        From RGB in 0..255 (B, H, W, 3) to probabilities (B, K), as float32.

    Raises
    ------
    HeadstartError
        If the head cannot be transplanted, or our cache lacks the model.
    """
    from openvino import opset13 as ops

    from classify.bundle.keras_model import head_model

    openvino, own = quiet_openvino(), bundle.feature_sets[0]
    own.ensure_weights()
    model = file_model(replace(own.recipe, layers=own.layers))
    head = openvino.convert_model(head_model(bundle, own.width))
    features = [result.input_value(0) for result in model.get_results()]
    joined = ops.concat(features, 1).output(0) if len(features) > 1 else features[0]
    head.get_parameters()[0].output(0).replace(joined)
    images, results = model.get_parameters()[0], [ops.result(head.get_results()[0].input_value(0))]
    if any_size:
        batch = images.get_partial_shape()[0]
        given = ops.parameter(openvino.PartialShape([batch, -1, -1, 3]), np.float32)
        images.output(0).replace(_resized(given, own.recipe).output(0))
        images = given
    images.output(0).get_tensor().set_names({"images"})
    return openvino.Model(results, [images], f"{plain_name(own.recipe.backbone)}_classifier")


def _resized(images: "openvino.Node", recipe: Recipe) -> "openvino.Node":
    from openvino import opset13 as ops

    filters = {"bilinear": "linear", "bicubic": "cubic"}
    sizes, axes = (ops.constant(np.array(values, np.int64)) for values in (recipe.image_size, (1, 2)))
    return ops.interpolate(
        images,
        sizes,
        filters[recipe.resize],
        "sizes",
        coordinate_transformation_mode="half_pixel",
        cube_coeff=-0.5,  # Keys', as TensorFlow has it
        axes=axes,
    )


def size_of(model: "keras.Model | openvino.Model") -> int:
    """Return the bytes of a model's weights."""
    if hasattr(model, "count_params"):
        return 4 * model.count_params()
    return sum(each.get_byte_size() for each in model.get_ops() if each.get_type_name() == "Constant")


def shape_of(end: "keras.KerasTensor | openvino.Output") -> list[int | None]:
    """Return the sides of what a model takes or gives, None where any will do."""
    if hasattr(end, "get_partial_shape"):
        return [side.get_length() if side.is_static else None for side in end.get_partial_shape()]
    return list(end.shape)


def run(path: Path, options: dict[str, str] | None = None) -> Callable[[np.ndarray], np.ndarray]:
    """Return what a model does to images, by default with the options that OpenVINO has by default."""
    model = cpu_core().compile_model(path, "CPU", options or {})
    return lambda images: model(images)[0]


def run_in_float32(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    """Return what a model does to images where OpenVINO is told to compute in float32."""
    return run(path, {"INFERENCE_PRECISION_HINT": "f32"})


def _mark(path: Path) -> None:
    tree = ElementTree.parse(path)
    for layer in tree.getroot().iterfind("layers/layer"):
        info = layer.find("rt_info")
        if info is None:
            info = ElementTree.Element("rt_info")
            layer.insert(0 if layer.find("data") is None else 1, info)
        ElementTree.SubElement(info, "attribute", name="precise", version="0")
    tree.write(path, "utf-8", xml_declaration=True)


def _dense_as_convolution(product: "openvino.Node") -> None:
    """Write a product with a constant matrix as a convolution of 1x1 pixels."""
    from openvino import opset10

    features, matrix = product.input_value(0), product.input_value(1).get_node()
    if matrix.get_type_name() != "Constant" or len(features.get_partial_shape()) != 2:
        return
    kernel = matrix.data if product.get_attributes()["transpose_b"] else matrix.data.T
    if set(np.unique(kernel)) <= {0, 1} and kernel.sum(axis=1).max() <= 1:
        _replace(product, _chosen(features, kernel))
        return
    pixels = opset10.reshape(features, np.array([0, 0, 1, 1]), special_zero=True)
    filters = np.ascontiguousarray(kernel)[:, :, np.newaxis, np.newaxis]
    values = opset10.convolution(pixels, opset10.constant(filters), [1, 1], [0, 0], [0, 0], [1, 1])
    found = opset10.reshape(values, np.array([0, len(kernel)]), special_zero=True)
    _replace(product, found)


def _chosen(features: "openvino.Output", kernel: np.ndarray) -> "openvino.Node":
    """Return the operation that puts each feature where a matrix of 0 and 1 puts it, and 0 elsewhere."""
    from openvino import opset10

    places = np.where(kernel.any(axis=1), kernel.argmax(axis=1), kernel.shape[1])
    padded = opset10.pad(features, np.array([0, 0]), np.array([0, 1]), "constant", np.float32(0))
    return opset10.gather(padded, places, np.int64(1))


def _resize_channels_first(resize: "openvino.Node") -> None:
    """Write a resize of pixels as one between two transpositions, the second of which may cancel another."""
    from openvino import opset10

    how, axes = resize.get_attributes(), resize.input_value(2).get_node()
    if how["shape_calculation_mode"] != "sizes" or _constant(axes) != [1, 2]:
        return
    images, sizes = resize.input_value(0), resize.input_value(1)
    first = opset10.transpose(images, np.array(_CHANNELS_FIRST))
    resized = opset10.interpolate(first, sizes, np.ones(2, np.float32), axes=np.array([2, 3]), **how)
    behind = _only_reader(resize)
    if behind and behind.get_type_name() == "Transpose" and _order(behind) == _CHANNELS_FIRST:
        _replace(behind, resized)
    else:
        _replace(resize, opset10.transpose(resized, np.argsort(_CHANNELS_FIRST)))


def _scaling_first(transpose: "openvino.Node") -> None:
    """Write arithmetic with constants behind a transposition in front of it."""
    from openvino import opset10

    behind, order = _only_reader(transpose), _order(transpose)
    if not behind or not order or behind.get_type_name() not in ("Add", "Multiply", "Subtract"):
        return
    constant = behind.input_value(1).get_node()
    if constant.get_type_name() != "Constant" or constant.data.ndim != len(order):
        return
    moved = opset10.constant(constant.data.transpose(np.argsort(order)))
    compute = getattr(opset10, behind.get_type_name().lower())
    found = opset10.transpose(compute(transpose.input_value(0), moved), np.array(order))
    _replace(behind, found)
    _scaling_first(found)


def _first_pooling(pool: "openvino.Node") -> None:
    """Write a pooling as the first operation set has it."""
    from openvino import opset1

    how = pool.get_attributes()
    if any(step != 1 for step in how.get("dilations", [])) or how["rounding_type"] == "ceil_torch":
        return
    places = [how[name] for name in ("strides", "pads_begin", "pads_end", "kernel")]
    same = {name: how[name] for name in ("rounding_type", "auto_pad")}
    if pool.get_type_name() == "MaxPool":
        if all(not output.get_target_inputs() for output in pool.outputs()[1:]):
            _replace(pool, opset1.max_pool(pool.input_value(0), *places, **same))
    else:
        exclude = how.get("exclude-pad", how.get("exclude_pad"))
        _replace(pool, opset1.avg_pool(pool.input_value(0), *places, exclude, **same))


def _only_reader(operation: "openvino.Node") -> "openvino.Node | None":
    """Return the operation that reads the output of another one, if there is one alone."""
    readers = operation.output(0).get_target_inputs()
    return next(iter(readers)).get_node() if len(readers) == 1 else None


def _order(transpose: "openvino.Node") -> list[int] | None:
    return _constant(transpose.input_value(1).get_node())


def _constant(operation: "openvino.Node") -> list[int] | None:
    return operation.data.tolist() if operation.get_type_name() == "Constant" else None


def _replace(old: "openvino.Node", new: "openvino.Node") -> None:
    new.set_friendly_name(old.get_friendly_name())
    old.output(0).replace(new.output(0))


_CHANNELS_FIRST = [0, 3, 1, 2]
_REWRITTEN = {
    "MatMul": _dense_as_convolution,
    "Interpolate": _resize_channels_first,
    "Transpose": _scaling_first,
    "MaxPool": _first_pooling,
    "AvgPool": _first_pooling,
}
