"""A fine-tuned bundle, and what it is worth: scores before and after on the same rows."""

from dataclasses import replace

import numpy as np

from classify.bundle.bundle import Bundle
from classify.bundle.detector import NEIGHBOURS, Detector, drawn
from classify.bundle.keras_model import only_feature_set
from classify.bundle.manifest import TUNED_WEIGHTS
from classify.features.applied import Applied
from classify.features.matrix import FeatureSet
from classify.features.rows import short_digests
from classify.finetuning.images import ImageRows
from classify.finetuning.training import TunedModel
from classify.scores.conformal import Conformal
from classify.scores.evaluate import evaluate, mcnemar
from extract.backbones.tensors import weights_digest
from extract.backbones.weights import keep_weights
from extract.engines.engine import Engine
from extract.engines.probe import check_probes


def tuned_bundle(
    bundle: Bundle, trained: TunedModel, rows: dict[str, ImageRows], applied: Applied | None = None
) -> tuple[Bundle, Engine]:
    """Return the new bundle, and the open engine of its backbone.

    Parameters
    ----------
    bundle : Bundle
        Before.
    trained : TunedModel
    rows : dict of str to ImageRows
    applied : Applied, optional
        What corrections did to them.

    Returns
    -------
    Bundle
        With the digest of the new backbone in its recipe, whose weights are in our cache, and with a detector
        of unknown images and sets of labels by its features.
    Engine
    """
    own = _tuned_features(only_feature_set(bundle), trained.tensors)
    engine = own.open()
    outputs = check_probes(engine, own.recipe, [])
    probe = dict(zip(own.recipe.layers, outputs, strict=True))
    own = replace(own, engine=engine.describe(), probe=probe)
    held, is_net = rows["validation"], hasattr(trained.head, "model_")
    held_features = own.features(engine, held.pixels)
    tuned = replace(
        bundle,
        head=trained.head,
        name="mlp" if is_net else "keras-linear",
        feature_sets=(own,),
        scores={},
        provenance=_provenance(bundle, applied),
        temperature=bundle.temperature if is_net else 1.0,
        detector=_detector(own, engine, rows["train"], held_features),
        conformal=None,
        seen=np.union1d(bundle.seen, short_digests(rows["train"].digests)),
    )
    if not len(held.y):
        return tuned, engine
    proba = tuned.predict_proba(held_features)
    scores = {"validation": evaluate(held.y, proba, bundle.class_names)}
    return replace(tuned, scores=scores, conformal=Conformal.of(proba, held.y, "validation rows")), engine


def _provenance(bundle: Bundle, applied: Applied | None) -> dict:
    """Return what is recorded of a bundle, with the corrections that fine-tuning had.

    Earlier corrections are gone, and what a temperature gained for the head before.
    """
    of_before = ("corrections", "calibration")
    kept = {name: value for name, value in bundle.provenance.items() if name not in of_before}
    return kept if applied is None else kept | {"corrections": applied.to_dict()}


def before_and_after(bundle: Bundle, tuned: Bundle, engine: Engine, test: ImageRows) -> dict:
    """Return the scores of both bundles on the test rows.

    Parameters
    ----------
    bundle, tuned : Bundle
    engine : Engine
        Of `tuned`.
    test : ImageRows

    Returns
    -------
    dict
        ``before``, ``after`` and ``mcnemar``; empty where there are no labelled test rows.
    """
    if not len(test.y):
        return {}
    own = only_feature_set(bundle)
    probas = [
        each.predict_proba(own.features(by, test.pixels))
        for each, by in ((bundle, replace(own, probe={}).open()), (tuned, engine))
    ]
    before, after = (proba.argmax(axis=1) for proba in probas)
    scores = {
        name: {"split": "test", **evaluate(test.y, proba, bundle.class_names)}
        for name, proba in zip(("before", "after"), probas, strict=True)
    }
    return {**scores, "mcnemar": mcnemar(test.y, after, before)}


def _tuned_features(own: FeatureSet, tensors: list[np.ndarray]) -> FeatureSet:
    """Return how features are computed from now on; weights that have changed are kept in our cache."""
    recipe, weights = replace(own.recipe, quantization="none", calibration=""), own.weights
    if weights_digest(recipe.backbone, tensors) != recipe.weights:
        kept = keep_weights(recipe.backbone, tensors, TUNED_WEIGHTS, f"fine-tuned from {recipe.weights[:16]}")
        recipe, weights = replace(recipe, weights=kept.digest), weights | kept.told()
        weights["licence"] = own.weights.get("licence", "not known")  # of what they were tuned from
    return replace(own, recipe=recipe, weights=weights, content_digest="", probe={}, weights_file=None)


def _detector(own: FeatureSet, engine: Engine, train: ImageRows, held: np.ndarray) -> Detector | None:
    """Fit a detector to what the tuned backbone gives; None where rows are too few for any."""
    if len(train.y) < NEIGHBOURS or not len(held):
        return None
    return Detector.fit(own.features(engine, train.pixels, drawn(len(train.y), train.y)), held)


def verdict(best: int, stopped: str, compared: dict | None) -> str:
    """Say plainly whether fine-tuning helped.

    Parameters
    ----------
    best : int
        The epoch whose weights were kept; 0 is the start.
    stopped : str
        ``diverged``, or another reason.
    compared : dict or None
        `classify.scores.evaluate.mcnemar` of after against before, on the test rows.

    Examples
    --------
    >>> verdict(0, "early", None)
    'fine-tuning did not help: no epoch had a lower loss than the transplanted head, whose weights are kept'
    """
    if best == 0 and stopped == "diverged":
        return (
            "fine-tuning did not help: the loss diverged and the weights of the transplanted head are "
            "kept; choose a lower --learning-rate"
        )
    if best == 0:
        return (
            "fine-tuning did not help: no epoch had a lower loss than the transplanted head, whose "
            "weights are kept"
        )
    if compared is None:
        return "whether fine-tuning helped is not known: there are no labelled test rows"
    gain = compared["difference"]
    numbers = f"{gain['value']:+.4f} [{gain['low']:+.4f}, {gain['high']:+.4f}] of accuracy"
    p_value = f"McNemar's p {compared['p_value']:.3g}"
    if compared["p_value"] >= 0.05:
        return f"fine-tuning did not help measurably: {numbers}, {p_value}"
    return f"fine-tuning {'helped' if gain['value'] > 0 else 'did harm'}: {numbers}, {p_value}"
