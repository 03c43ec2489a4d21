"""The Keras graph of a backbone: made, tapped at its layers, scaled, pooled, counted."""

import math
import os
from collections.abc import Collection, Sequence
from importlib import import_module
from typing import TYPE_CHECKING

from data.errors import HeadstartError, UsageError, unknown_name
from extract.backbones.applications import backbone_named, some_size
from extract.backbones.graph import steps_of
from extract.backbones.keras_backend import in_words, keras_backend
from extract.backbones.kinds import is_own, kind_of, need_keras_graph, settled
from extract.backbones.scaling import scaling_of

if TYPE_CHECKING:
    import keras

AVG_POOL = "avg_pool"  # of layers: the backbone's own output
_process: int | None = None  # that uses Keras


def build_backbone(name: str, image_size: tuple[int, int], policy: str = "float32") -> "keras.Model":
    """Build the Keras model without top, weights not loaded.

    Parameters
    ----------
    name : str
    image_size : tuple of int
        Height and width in pixels.
    policy : str
        Keras' dtype policy: ``mixed_float16`` computes in float16, for instance.

    Returns
    -------
    keras.Model
        From scaled pixels (B, H, W, 3) to the last feature map; channels are where
        ``keras.config.image_data_format()`` has them.

    Raises
    ------
    HeadstartError
        In a fork of a process that has built one; if the backbone is a model whose graph is not Keras'.
    """
    _refuse_fork()
    keras_backend()
    if is_own(name):
        name = settled(name).name
        need_keras_graph(name, "this")
        model = import_module(kind_of(name).module).build(name, image_size, policy)
    else:
        model = _built(backbone_named(name).model, image_size, policy)
    model.trainable = False
    return model


def _built(model: str, image_size: tuple[int, int], policy: str) -> "keras.Model":
    import keras

    module, _, builder = model.rpartition(":")
    build = getattr(import_module(module) if module else keras.applications, builder)
    users = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        return build(include_top=False, weights=None, input_shape=_input_shape(image_size))
    finally:
        keras.config.set_dtype_policy(users)


def _input_shape(image_size: tuple[int, int]) -> tuple[int, int, int]:
    import keras

    last = keras.config.image_data_format() == "channels_last"
    return (*image_size, 3) if last else (3, *image_size)


def _refuse_fork() -> None:
    """Raise where Keras' backend would wait for ever, for threads that the parent alone has."""
    global _process
    _process = _process or os.getpid()
    if _process != os.getpid():
        raise forked_error(in_words(keras_backend()), _process)


def forked_error(what: str, process: int) -> HeadstartError:
    """Make the error for a process whose parent holds the threads that it needs."""
    return HeadstartError(
        f"{what} cannot be used after a fork",
        "a process that started by itself, or features that the parent computed before it forked",
        f"process {os.getpid()}, a fork of process {process}, which has {what} in use",
        'let joblib use its backend "loky", or multiprocessing the start method "spawn"',
    )


def tapped(backbone: "keras.Model", layers: Sequence[str]) -> "keras.Model":
    """Let a backbone return the feature maps of some of its layers.

    Parameters
    ----------
    backbone : keras.Model
        As `build_backbone` makes it.
    layers : sequence of str
        ``avg_pool`` stands for its own output; the others bear the names of `extract.backbones.graph.Step`.

    Returns
    -------
    keras.Model
        Of the backbone's name and of its layers; those behind the deepest that is asked for are not in it.

    Raises
    ------
    HeadstartError
        If a layer is unknown; the nearest names are listed.
    """
    import keras

    known = _outputs(backbone)
    outputs = [known[name] for name in _known(layers, known)]
    return keras.Model(backbone.input, outputs, name=backbone.name, trainable=backbone.trainable)


def check_layers(backbone: str, layers: Sequence[str]) -> None:
    """Raise if a backbone lacks a layer; its graph is built if there are others than ``avg_pool``.

    Raises
    ------
    UsageError
        With the nearest names.
    """
    if any(name != AVG_POOL for name in layers):
        _known(layers, layer_names(backbone))


def layer_names(backbone: str) -> list[str]:
    """Return what `tapped` knows of a backbone by its name, whose graph is built: the same at every size."""
    if is_own(backbone) and kind_of(name := settled(backbone).name).graph != "keras":
        return import_module(kind_of(name).module).layer_names(name)
    return list(_outputs(build_backbone(backbone, some_size(backbone))))


def _outputs(backbone: "keras.Model") -> "dict[str, keras.KerasTensor]":
    """Return outputs by name; a classifier may have a layer of that name, which is then meant."""
    return {AVG_POOL: backbone.output} | {step.name: step.output for step in steps_of(backbone)}


def _known(layers: Sequence[str], known: Collection[str]) -> Sequence[str]:
    for name in layers:
        if name not in known:
            raise unknown_name("layer", name, known)
    return layers


def pooled(
    maps: "keras.KerasTensor | list[keras.KerasTensor]", pooling: str = "avg"
) -> "list[keras.KerasTensor]":
    """Make vectors of one output, or of each of a list, inside a Keras graph.

    Parameters
    ----------
    maps : KerasTensor or list of KerasTensor
        Maps (B, H, W, C), sequences of tokens (B, T, C), or vectors (B, C).
    pooling : str
        ``avg``: the average over height and width, or over all tokens; vectors stay. ``cls``: the first
        token. ``none``: vectors, as they are.

    Raises
    ------
    HeadstartError
        If an output has no tokens, or is no vector, where the pooling needs it.
    """
    maps = maps if isinstance(maps, list) else [maps]
    return [_pooled(feature_map, pooling) for feature_map in maps]


def pooled_backbone(name: str, image_size: tuple[int, int], layers: Sequence[str]) -> "keras.Model":
    """Build a backbone up to the deepest of some layers, weights not loaded."""
    return tapped(build_backbone(name, image_size), layers)


def flops(model: "keras.Model") -> int:
    """Return the operations of one image, two for each multiplication and addition.

    Convolutions and dense layers are counted; what else there is, is small.

    Parameters
    ----------
    model : keras.Model
        With a fixed image size.
    """
    return sum(map(operation_flops, model.layers))


def operation_flops(operation: "keras.Operation") -> int:
    """Return what `flops` counts of one layer, or of a model that is one; bare operations have none."""
    import keras

    if isinstance(operation, keras.Model):
        return flops(_of_known_size(operation))
    kernels = [weight.shape for weight in getattr(operation, "weights", ()) if "kernel" in weight.name]
    return 2 * math.prod(operation.output.shape[1:-1]) * sum(map(math.prod, kernels)) if kernels else 0


def _of_known_size(model: "keras.Model") -> "keras.Model":
    """Return a model that is a layer of another one with the size of the images that it gets there."""
    import keras

    if not any(None in layer.output.shape[1:] for layer in model.layers if layer.weights):
        return model
    (given,) = model._inbound_nodes[-1].input_tensors  # of Keras, which has no public name for it
    return keras.models.clone_model(model, input_tensors=keras.Input(given.shape[1:]))


def scaled(pixels: "keras.KerasTensor", scaling: str) -> "keras.KerasTensor":
    """Apply a scaling, as `scaling_of` reads it, to pixels in 0..255, inside a Keras graph."""
    import keras

    entry = scaling_of(scaling)
    if entry.reverse_channels:
        pixels = pixels[..., ::-1]
    if len({*entry.scale}) == len({*entry.offset}) == 1:
        return keras.layers.Rescaling(entry.scale[0], entry.offset[0])(pixels)
    return keras.layers.Rescaling(list(entry.scale), list(entry.offset))(pixels)


def _pooled(output: "keras.KerasTensor", pooling: str) -> "keras.KerasTensor":
    import keras

    check_pooling(len(output.shape), pooling, output.name)
    if pooling == "cls":
        return output[:, 0]
    if len(output.shape) == 2:
        return output
    if len(output.shape) == 3:
        return keras.layers.GlobalAveragePooling1D(data_format="channels_last")(output)
    return keras.layers.GlobalAveragePooling2D()(output)


def check_pooling(axes: int, pooling: str, name: str) -> None:
    """Raise if an output with so many axes, the batch among them, cannot be pooled so.

    Raises
    ------
    UsageError

    Examples
    --------
    >>> check_pooling(4, "avg", "conv")
    """
    fitting = {"avg": (2, 3, 4), "cls": (3,), "none": (2,)}[pooling]
    if axes not in fitting:
        kinds = {2: "vectors", 3: "sequences of tokens", 4: "maps"}
        raise UsageError(
            f"the output {name!r} cannot be pooled by {pooling}",
            f"{' or '.join(kinds[each] for each in fitting)}",
            kinds.get(axes, f"an output with {axes} axes"),
            f"choose {'another --pooling, or ' if axes > 1 else ''}another output with --layer",
        )


def map_size(output: "keras.KerasTensor") -> tuple[int, int, int]:
    """Return height, width and channels of a map, wherever Keras has its channels; of tokens, how many."""
    import keras

    _, *sides = output.shape
    if len(sides) != 3:
        return (sides[0] if len(sides) == 2 else 1), 1, sides[-1]
    if keras.config.image_data_format() == "channels_first":
        return sides[1], sides[2], sides[0]
    return sides[0], sides[1], sides[2]
