"""A trained head behind its backbone: one Keras model from raw images to probabilities."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from classify.bundle.folder import BundleContents
from classify.features.matrix import FeatureSet
from classify.head import Head
from classify.heads.dense_layer import fold
from data.errors import HeadstartError
from extract.backbones.build import pooled, scaled, tapped
from extract.backbones.kinds import plain_name
from extract.backbones.weights import load_backbone
from extract.recipe import Recipe

if TYPE_CHECKING:
    import keras


def image_model(bundle: BundleContents, *, any_size: bool = True) -> "keras.Model":
    """Build one Keras model that does what `predict` does to decoded images, of stock layers alone.

    Resizing, scaling, the backbone as one nested layer, pooling, the head, and the probabilities of the
    bundle's classes in their order: two classes get one logit, whose sigmoid p becomes (1 - p, p).
    Classes that training never saw have no logit: a last dense layer ``classes``, frozen, without bias,
    its kernel 0 and 1, puts each probability in its class' place and exactly 0 in the others, which no
    finite bias before a softmax would.

    Parameters
    ----------
    bundle : Bundle
    any_size : bool
        Take images of any size and resize them to the recipe's; else take the recipe's only.

    Returns
    -------
    keras.Model
        From RGB in 0..255 (B, H, W, 3) to probabilities (B, K), as float32.

    Raises
    ------
    HeadstartError
        If the head cannot be transplanted, or the weights are not found.
    """
    import keras

    own = only_feature_set(bundle)
    recipe = own.recipe
    behind = head_layers(bundle.head, bundle.temperature, None)
    own.ensure_weights()
    backbone = load_backbone(recipe.backbone, recipe.image_size, recipe.weights)
    images = keras.Input((None, None, 3) if any_size else (*recipe.image_size, 3), name="images")
    pixels = keras.layers.Resizing(*recipe.image_size, recipe.resize)(images) if any_size else images
    values = logits_of(pixels, recipe, tapped(backbone, own.layers), behind)
    outputs = _probabilities(values, bundle.head.classes_, len(bundle.class_names))
    return keras.Model(images, outputs, name=f"{plain_name(recipe.backbone)}_classifier")


def logits_of(
    pixels: "keras.KerasTensor", recipe: Recipe, base: "keras.Model", head: "Sequence[keras.Layer]"
) -> "keras.KerasTensor":
    """Let pixels pass through scaling, a backbone in inference mode, pooling and the layers of a head.

    Parameters
    ----------
    pixels : keras.KerasTensor
        RGB in 0..255, (B, height, width, 3).
    recipe : Recipe
        Says scaling and pooling.
    base : keras.Model
        As `extract.backbones.build.tapped` returns it.
    head : list of keras.Layer
        As `head_layers` returns them.

    Returns
    -------
    keras.KerasTensor
        Logits (B, U).
    """
    import keras

    values = pooled(in_inference_mode(base)(scaled(pixels, recipe.scaling)), recipe.pooling)
    values = keras.layers.Concatenate(name="features")(values) if len(values) > 1 else values[0]
    for layer in head:
        values = layer(values)
    return values


def check_transplant(bundle: BundleContents, *, any_size: bool = False) -> None:
    """Raise if a bundle cannot become one Keras model; TensorFlow is not needed for that.

    Parameters
    ----------
    bundle : Bundle
    any_size : bool
        Whether the model resizes images.

    Raises
    ------
    HeadstartError
        If it takes features of several recipes, its head is neither linear nor a Keras net, or no layer
        resizes as the recipe does.
    """
    recipe = only_feature_set(bundle).recipe
    if any_size:
        _check_resizing(recipe)
    if not hasattr(bundle.head, "model_"):
        fold(bundle.head)


def _check_resizing(recipe: Recipe) -> None:
    """Raise if no layer of Keras resizes as a recipe does."""
    if recipe.antialias or recipe.crop:
        raise HeadstartError(
            "the exported model cannot resize images as this recipe does",
            "images squeezed to the size without antialias, or a model that takes that size alone",
            f"antialias {recipe.antialias}, crop {recipe.crop:g}",
            "add --fixed-size, and give the model images of that size, resized as `extract` does",
        )


def only_feature_set(bundle: BundleContents) -> FeatureSet:
    """Return how the features of a bundle are computed, or raise where it takes those of several recipes.

    Raises
    ------
    HeadstartError
    """
    if len(bundle.feature_sets) > 1:
        raise HeadstartError(
            "this bundle takes features of several recipes, so no single backbone belongs to it",
            "a bundle of one recipe",
            f"{len(bundle.feature_sets)} recipes",
            "train a head on one feature file: python -m classify train FILE.h5",
        )
    return bundle.feature_sets[0]


def in_inference_mode(model: "keras.Model") -> "keras.Model":
    """Let a model compute as in inference whatever the model around it does.

    Calling it with ``training=False`` is not enough: in Keras 3 a model that trains tells every layer
    so, also those that were called otherwise (https://github.com/keras-team/keras/issues/20285), and
    the statistics of an unfrozen backbone would move. Saved and loaded again, Keras' own rules hold.
    """
    call = model.call

    def in_inference_mode(inputs: object, training: bool | None = None, mask: object = None) -> object:
        return call(inputs, training=False, mask=mask)

    model.call = in_inference_mode
    return model


def head_layers(head: Head, temperature: float, dropout: float | None) -> "list[keras.Layer]":
    """Return stock Keras layers from features to logits, with copies of the head's weights.

    The logits are divided by the temperature.
    """
    import keras

    if hasattr(head, "model_"):
        _refuse_own_layers(head.model_)
        net = keras.models.clone_model(head.model_)
        net.set_weights(head.model_.get_weights())
        return [net] if temperature == 1 else [net, keras.layers.Rescaling(1 / temperature)]
    kernel, bias = (values / temperature for values in fold(head))
    rate = getattr(head, "dropout", 0.0) if dropout is None else dropout
    dense = keras.layers.Dense(len(bias), name="logits")
    dense.build((None, len(kernel)))
    dense.set_weights([kernel, bias])
    return [keras.layers.Dropout(rate), dense] if rate else [dense]


def head_model(bundle: BundleContents, width: int) -> "keras.Model":
    """Build the head of a bundle alone: from features (B, D) to the probabilities of its classes (B, K)."""
    import keras

    values = features = keras.Input((width,), name="features")
    for layer in head_layers(bundle.head, bundle.temperature, None):
        values = layer(values)
    outputs = _probabilities(values, bundle.head.classes_, len(bundle.class_names))
    return keras.Model(features, outputs, name="head")


def _refuse_own_layers(model: "keras.Model") -> None:
    own = {
        type(layer) for layer in model._flatten_layers() if not type(layer).__module__.startswith("keras.")
    }
    if own:
        raise HeadstartError(
            "this head has layers that are not Keras' own",
            "layers that load wherever Keras is",
            ", ".join(sorted(kind.__qualname__ for kind in own)),
            "build the head of Keras' layers",
        )


def _probabilities(logits: "keras.KerasTensor", classes: np.ndarray, count: int) -> "keras.KerasTensor":
    """Put the probability of each of `count` classes behind the logits of those in `classes`."""
    import keras

    if logits.shape[-1] == 1:
        positive = keras.layers.Activation("sigmoid", name="positive")(logits)
        negative = keras.layers.Rescaling(-1.0, 1.0, name="negative")(positive)
        shares = keras.layers.Concatenate(name="probabilities")([negative, positive])
    else:
        shares = keras.layers.Softmax(name="probabilities")(logits)
    if len(classes) == count:
        return shares
    place = keras.layers.Dense(count, use_bias=False, trainable=False, name="classes")
    place.build((None, len(classes)))
    place.set_weights([np.eye(count)[classes]])
    return place(shares)
