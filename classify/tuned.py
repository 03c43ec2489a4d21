"""A fine-tuned bundle, and what it is worth: scores before and after on the same rows."""

from dataclasses import replace

import numpy as np

from classify.abstain import NEIGHBOURS, Detector, drawn
from classify.bundle import Bundle
from classify.end_to_end import Trained
from classify.evaluate import evaluate, mcnemar
from classify.image_rows import ImageRows
from classify.matrix import FeatureSet
from classify.rows import short_digests
from classify.saved import TUNED_WEIGHTS
from classify.transplant import only_feature_set
from extract.engines import open_engine
from extract.parity import check_probes
from extract.weights import keep_weights, tensors_digest


def judged(bundle: Bundle, trained: Trained, rows: dict[str, ImageRows]) -> tuple[Bundle, dict]:
    """Return the new bundle, and the scores of both on the test rows.

    Parameters
    ----------
    bundle : Bundle
        Before.
    trained : Trained
    rows : dict of str to ImageRows

    Returns
    -------
    Bundle
        With the digest of the new backbone in its recipe, whose weights are in our cache, and a detector of
        unknown images by its features.
    dict
        ``before``, ``after`` and ``mcnemar``; empty where there are no labelled test rows.
    """
    own = only_feature_set(bundle)
    recipe, weights = own.recipe, own.weights
    tuned_recipe = replace(recipe, quantization="none", calibration="")
    if tensors_digest(trained.tensors) != recipe.weights:
        origin = f"fine-tuned from {recipe.weights[:16]}"
        kept = keep_weights(recipe.backbone, trained.tensors, TUNED_WEIGHTS, origin)
        tuned_recipe = replace(tuned_recipe, weights=kept.digest)
        weights = {"name": kept.name, "origin": kept.origin}
    engine = open_engine("auto", tuned_recipe)
    probe = dict(zip(recipe.layers, check_probes(engine, tuned_recipe, []), strict=True))
    held, test = rows["validation"], rows["test"]
    held_features = _features(own, engine, held.pixels)
    tuned = replace(
        bundle,
        head=trained.head,
        name="mlp" if hasattr(trained.head, "model_") else "keras-linear",
        feature_sets=(
            replace(
                own,
                recipe=tuned_recipe,
                weights=weights,
                content_digest="",
                engine=engine.describe(),
                probe=probe,
            ),
        ),
        scores={},
        temperature=bundle.temperature if hasattr(trained.head, "model_") else 1.0,
        detector=_detector(own, engine, rows["train"], held_features),
        seen=np.union1d(bundle.seen, short_digests(rows["train"].digests)),
    )
    if len(held.y):
        proba = tuned.predict_proba(held_features)
        tuned = replace(tuned, scores={"validation": evaluate(held.y, proba, bundle.class_names)})
    if not len(test.y):
        return tuned, {}
    probas = [
        each.predict_proba(_features(own, by, test.pixels))
        for each, by in ((bundle, open_engine("auto", recipe)), (tuned, engine))
    ]
    before, after = (proba.argmax(axis=1) for proba in probas)
    scores = {
        name: {"split": "test", **evaluate(test.y, proba, bundle.class_names)}
        for name, proba in zip(("before", "after"), probas, strict=True)
    }
    return tuned, {**scores, "mcnemar": mcnemar(test.y, after, before)}


def _features(own: FeatureSet, engine, pixels: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
    """Return the features (N, D) of decoded images, or of some of them, computed as `predict` does."""
    rows = np.arange(len(pixels)) if rows is None else rows
    chosen = [own.recipe.layers.index(name) for name in own.layers]
    features = [np.empty((0, sum(own.widths)), np.float32)]
    for first in range(0, len(rows), engine.batch_size):
        found = engine(pixels[rows[first : first + engine.batch_size]])
        features.append(np.concatenate([found[number] for number in chosen], axis=1))
    return np.concatenate(features)


def _detector(own: FeatureSet, engine, train: ImageRows, held: np.ndarray) -> Detector | None:
    """Fit a detector to what the tuned backbone gives; None where rows are too few for any."""
    if len(train.y) < NEIGHBOURS or not len(held):
        return None
    return Detector.fit(_features(own, engine, train.pixels, drawn(len(train.y), train.y)), held)


def verdict(best: int, stopped: str, compared: dict | None) -> str:
    """Say plainly whether fine-tuning helped.

    Parameters
    ----------
    best : int
        The epoch whose weights were kept; 0 is the start.
    stopped : str
        ``diverged``, or another reason.
    compared : dict or None
        `classify.evaluate.mcnemar` of after against before, on the test rows.

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
