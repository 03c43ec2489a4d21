"""The guide's model around a backbone and a trained head: which weights train, and the head again."""

import re
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import keras
import numpy as np

from classify.bundle.folder import BundleContents
from classify.bundle.keras_model import head_layers, logits_of, only_feature_set
from classify.heads.keras_head import KerasHead
from data.augment import augmentation
from data.errors import HeadstartError
from extract.backbones.build import tapped
from extract.backbones.kinds import plain_name
from extract.backbones.tensors import tensors_digest
from extract.backbones.weights import load_backbone
from extract.engines.keras_engine import POLICIES

if TYPE_CHECKING:
    import keras

DROPOUT = 0.2  # the guide's, for heads that have none of their own


class GuideModel:
    """Augmentation, scaling, the backbone in inference mode, pooling, dropout, dense layer.

    Parameters
    ----------
    bundle : Bundle
        Its head is transplanted.
    augment : bool
    seed : int
        Of augmentation and dropout.
    precision : str
        ``float32``, ``float16`` or ``bfloat16``: the arithmetic of the backbone.

    Attributes
    ----------
    model : keras.Model
        From RGB in 0..255, shape (B, height, width, 3), to logits (B, U); U is 1 for two classes.
    base : keras.Model
        The part of the backbone that the head takes features from.
    backbone : keras.Model
        The whole of it; it shares the layers of `base`.

    Raises
    ------
    HeadstartError
        If the head cannot be transplanted, or the weights are not found.
    """

    def __init__(
        self, bundle: BundleContents, *, augment: bool, seed: int, precision: str = "float32"
    ) -> None:
        own = only_feature_set(bundle)
        recipe = own.recipe
        self._head = bundle.head
        dropout = None if isinstance(bundle.head, KerasHead) else DROPOUT
        self._layers = head_layers(bundle.head, bundle.temperature, dropout)
        own.ensure_weights()
        policy = POLICIES[precision]
        self.backbone = load_backbone(recipe.backbone, recipe.image_size, recipe.weights, policy)
        self.base = tapped(self.backbone, own.layers)
        images = keras.Input((*recipe.image_size, 3), name="images")
        pixels = augmentation(seed)(images) if augment else images
        values = logits_of(pixels, recipe, self.base, self._layers)
        self.model = keras.Model(images, values, name=f"{plain_name(recipe.backbone)}_finetuned")

    def head(self) -> KerasHead:
        """Return the head as it is now: a `KerasHead` over features.

        A linear head has the temperature of the bundle in its weights, a net has not.
        """
        head, classes = self._head, self._head.classes_
        params = head.get_params(deep=False) if isinstance(head, KerasHead) else {}
        if isinstance(head, KerasHead) and hasattr(head, "model_"):
            return KerasHead.from_model(classes, self._layers[0], head.n_features_in_, **params)
        kernel, bias = (np.asarray(weight) for weight in self._layers[-1].get_weights())
        return KerasHead.from_weights(classes, kernel.T.copy(), bias, **params)


_NUMBERED = re.compile(r".*?\d+[a-z]?(?=_|$)")  # the name of a block, in front of those of its layers


@dataclass(frozen=True)
class Counts:
    """Parameters of a model.

    Attributes
    ----------
    total, trainable, non_trainable : int
    """

    total: int
    trainable: int
    non_trainable: int

    def to_dict(self) -> dict:
        """Return the counts as JSON-ready values."""
        return asdict(self)


def unfreeze(backbone: "keras.Model", what: str) -> None:
    """Set which layers of a backbone train; a model that holds it must be compiled again.

    Parameters
    ----------
    backbone : keras.Model
        As `extract.backbones.build.build_backbone` makes it; changed in place.
    what : str
        ``all``, ``none``, or the name of a block of `blocks`: it and all that comes behind it;
        ``last`` is the last of them.

    Raises
    ------
    HeadstartError
        If there is no such block.
    """
    backbone.trainable = what != "none"
    if what in ("all", "none"):
        return
    known = blocks(backbone)
    first = list(known.values())[-1] if what == "last" and known else known.get(what)
    if first is None:
        raise HeadstartError(
            f"{backbone.name} has no block {what!r}",
            f"all, none, last, or one of {', '.join(known)}",
            what,
            "choose one of these names with --unfreeze",
        )
    for layer in backbone.layers[:first]:
        layer.trainable = False


def blocks(backbone: "keras.Model") -> dict[str, int]:
    """Return the blocks of a backbone, each with the place of its first layer.

    A block is what the names of layers have in common up to their first number, as ``block14``
    of ``block14_sepconv1``. Layers that Keras named itself belong to the block they stand in. Where no name
    has a number, each layer with weights is a block.

    Parameters
    ----------
    backbone : keras.Model
    """
    found: dict[str, int] = {}
    for place, layer in enumerate(backbone.layers):
        match = _NUMBERED.match(layer.name)
        if match and not _named_by_keras(layer):
            found.setdefault(match[0], place)
    return found or {layer.name: place for place, layer in enumerate(backbone.layers) if layer.weights}


def counts(model: "keras.Model") -> Counts:
    """Count the parameters of a model, without the state of its optimizer and random numbers.

    Parameters
    ----------
    model : keras.Model
    """
    trainable, frozen = (
        sum(int(weight.value.shape.num_elements()) for weight in weights)
        for weights in (model.trainable_weights, model.non_trainable_weights)
    )
    return Counts(trainable + frozen, trainable, frozen)


def frozen_digest(backbone: "keras.Model") -> str:
    """Return the digest of the weights of a backbone that do not train.

    Frozen layers are among them, and of those that train BatchNormalization's statistics.

    Parameters
    ----------
    backbone : keras.Model
    """
    return tensors_digest(weight.numpy() for weight in backbone.non_trainable_weights)


def check_frozen(backbone: "keras.Model", before: str) -> None:
    """Raise if weights that were not to train have changed since `frozen_digest` was taken.

    Raises
    ------
    HeadstartError
    """
    after = frozen_digest(backbone)
    if after != before:
        raise HeadstartError(
            "weights that were frozen have changed while training",
            f"digest {before} of the frozen weights and of BatchNormalization's statistics",
            f"digest {after}",
            "use the stock layers and the versions that this version of Headstart is tested with",
        )


def _named_by_keras(layer: "keras.Layer") -> bool:
    return layer.name.replace("_", "").startswith(type(layer).__name__.lower())
