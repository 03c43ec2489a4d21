"""The model of the Keras guide around a backbone and a trained head, and the head out of it again."""

import keras
import numpy as np

from classify.bundle.folder import BundleContents
from classify.bundle.keras_model import head_layers, logits_of, only_feature_set
from classify.heads.keras_head import KerasHead
from data.augment import augmentation
from extract.backbones.build import tapped
from extract.backbones.weights import load_backbone
from extract.engines.keras_engine import POLICIES

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
        values = logits_of(pixels, recipe.scaling, self.base, self._layers)
        self.model = keras.Model(images, values, name=f"{recipe.backbone}_finetuned")

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
