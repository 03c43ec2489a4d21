"""A trained head behind its backbone: one Keras model from raw images to probabilities."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import NearestCentroid
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from classify.bundle.folder import BundleContents
from classify.features.matrix import FeatureSet
from classify.heads.checked_head import Head
from classify.heads.table import HEADS
from classify.scores.calibration import of_raw_features
from data.errors import HeadstartError
from extract.backbones.build import pooled, scaled, tapped
from extract.backbones.weights import load_backbone

if TYPE_CHECKING:
    import keras

Dense = tuple[np.ndarray, np.ndarray]  # coefficients (U, D) and intercepts (U,) of logits


def fold(head: Head) -> tuple[np.ndarray, np.ndarray]:
    """Return the dense layer that does what a linear head does to features.

    Its logits give the head's probabilities: by a sigmoid where there is one, by a softmax where
    there is one for each class.

    Parameters
    ----------
    head : scikit-learn classifier
        Fitted: one of ours, whose method `dense` gives its layer, or scikit-learn's logistic
        regression, linear discriminant analysis or nearest centroids, bare or behind
        `StandardScaler` in a pipeline.

    Returns
    -------
    kernel : ndarray of float64, shape (D, U)
        Of the features as they come; U is 1 for two classes, else their number.
    bias : ndarray of float64, shape (U,)

    Raises
    ------
    HeadstartError
        If the head is not linear.

    Examples
    --------
    >>> from classify.heads.table import make_head
    >>> X, y = np.array([[0.0], [1.0], [5.0], [6.0]]), np.array([0, 0, 1, 1])
    >>> head = make_head("logistic").fit(X, y)
    >>> kernel, bias = fold(head)
    >>> shares = 1 / (1 + np.exp(-(X @ kernel + bias)))
    >>> bool(np.allclose(shares[:, 0], head.predict_proba(X)[:, 1]))
    True
    """
    *scalers, last = [step for _, step in head.steps] if isinstance(head, Pipeline) else [head]
    dense = last.dense() if hasattr(last, "dense") else _DENSE.get(type(last), _no_layer)(last)
    if dense is None or any(type(scaler) is not StandardScaler for scaler in scalers):
        raise _not_transplanted(head)
    coef, intercept = dense
    for scaler in reversed(scalers):
        mean = scaler.mean_ if scaler.with_mean else np.zeros(coef.shape[1])
        scale = scaler.scale_ if scaler.with_std else np.ones(coef.shape[1])
        coef, intercept = of_raw_features(coef, intercept, mean, scale)
    return coef.T.astype(np.float64), intercept.astype(np.float64)


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
    values = logits_of(pixels, recipe.scaling, tapped(backbone, own.layers), behind)
    outputs = _probabilities(values, bundle.head.classes_, len(bundle.class_names))
    return keras.Model(images, outputs, name=f"{recipe.backbone}_classifier")


def logits_of(
    pixels: "keras.KerasTensor", scaling: str, base: "keras.Model", head: "Sequence[keras.Layer]"
) -> "keras.KerasTensor":
    """Let pixels pass through scaling, a backbone in inference mode, pooling and the layers of a head.

    Parameters
    ----------
    pixels : keras.KerasTensor
        RGB in 0..255, (B, height, width, 3).
    scaling : str
        An entry of `extract.backbones.build.SCALINGS`.
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

    values = pooled(in_inference_mode(base)(scaled(pixels, scaling)))
    values = keras.layers.Concatenate(name="features")(values) if len(values) > 1 else values[0]
    for layer in head:
        values = layer(values)
    return values


def check_transplant(bundle: BundleContents) -> None:
    """Raise if a bundle cannot become one Keras model; TensorFlow is not needed for that.

    Raises
    ------
    HeadstartError
        If it takes features of several recipes, or its head is neither linear nor a Keras net.
    """
    only_feature_set(bundle)
    if not hasattr(bundle.head, "model_"):
        fold(bundle.head)


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


def _no_layer(head: Head) -> None:
    return None


def _of_coef(head: LogisticRegression | LinearDiscriminantAnalysis) -> Dense:
    return head.coef_, head.intercept_


def _of_centroids(head: NearestCentroid) -> Dense | None:
    """Turn Euclidean distances to class means into linear logits.

    scikit-learn's probabilities are a softmax of 2 log(prior) - |x/s - c/s|^2. What |x/s|^2 adds is
    the same for every class, so the softmax drops it: 2 c/s^2 x - |c/s|^2 + 2 log(prior) is left.
    Less their mean over the classes, which is dropped too, the numbers are small.
    """
    if head.metric != "euclidean":
        return None
    scale = np.where(head.within_class_std_dev_ != 0, head.within_class_std_dev_, 1)
    centroids = head.centroids_ / scale
    coef = 2 * centroids / scale
    intercept = 2 * np.log(head.class_prior_) - (centroids**2).sum(axis=1)
    if len(intercept) == 2:
        return np.diff(coef, axis=0), np.diff(intercept)
    return coef - coef.mean(axis=0), intercept - intercept.mean()


# scikit-learn's own by type, since they have no method `dense`.
_DENSE: dict[type, Callable[[Head], Dense | None]] = {
    LogisticRegression: _of_coef,
    LinearDiscriminantAnalysis: _of_coef,
    NearestCentroid: _of_centroids,
}


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


def _not_transplanted(head: Head) -> HeadstartError:
    last = head[-1] if isinstance(head, Pipeline) else head
    return HeadstartError(
        f"the head {type(last).__name__} cannot become layers of a Keras model",
        f"one of {', '.join(name for name, entry in HEADS.items() if entry.becomes_layers)}, of raw or of "
        "standardized features; of scikit-learn's nearest centroids, Euclidean ones",
        " behind ".join(type(step).__name__ for _, step in reversed(head.steps))
        if isinstance(head, Pipeline)
        else type(head).__name__,
        "train such a head on the same feature file: python -m classify train FILE.h5 --head logistic",
    )
