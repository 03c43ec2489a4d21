"""A head trained with the frozen backbone in the graph: the peer of a head on cached features."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from classify.bundle.bundle import Bundle
from classify.bundle.folder import check_output
from classify.bundle.keras_model import only_feature_set
from classify.features.matrix import FeatureMatrix
from classify.finetuning.finetune import ask_room, check_classes, going_on, settings_of
from classify.finetuning.images import load_rows, splits_of
from classify.finetuning.loops import Hooks
from classify.finetuning.options import LIVE_OPTIONS, TrainingOptions, live_options
from classify.finetuning.run_state import RunState
from classify.finetuning.training import Run
from classify.heads.keras_head import KerasHead
from classify.heads.linear import glorot
from classify.scores.calibration import number_of_logits
from classify.scores.temperature import calibration_of
from data.errors import moved_keywords
from data.sources.source import Source, as_source


@moved_keywords(LIVE_OPTIONS)
def train_live(
    features: FeatureMatrix,
    source: Source,
    folder: str | Path,
    options: TrainingOptions | None = None,
    *,
    calibrate: bool | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Bundle:
    """Train the guide's head on images, which go through the frozen backbone in every epoch.

    With ``augment`` they differ from epoch to epoch, which cached features cannot.

    Parameters
    ----------
    features : FeatureMatrix
        Say the recipe and the classes, and judge the head that comes out; images whose labels
        were corrected in them are trained on with those.
    source : Source, str or Path
        The images that `features` were extracted from; their splits are those of the file.
    folder : str or Path
        The new bundle; while it runs, its state is in ``FOLDER.run`` beside it.
    options : TrainingOptions, optional
        As `live_options` makes them, which the default is.
    calibrate : bool, optional
        As `Bundle.of` takes it.
    progress : callable, optional
        Called with the batches done and to do.

    Returns
    -------
    Bundle
        Saved.

    Raises
    ------
    HeadstartError
        As `classify.finetuning.finetune.finetune` raises it.
    TypeError
        If an option is given as a keyword of its own.

    Examples
    --------
    >>> features = load_features("photos.h5")  # doctest: +SKIP
    >>> options = live_options({"augment": True})
    >>> train_live(features, open_source("photos/"), "photos-live", options)  # doctest: +SKIP
    """
    folder, source = Path(folder), as_source(source)
    options = options or live_options()
    check_output(folder)
    start = Bundle.of(untrained(features, options.seed), features, "keras-linear", calibrate=False)
    if calibrate:
        calibration_of(start.head, features, calibrate)  # refuses before hours of training
    check_classes(start, source)
    run = Run(start, options)
    ask_room(folder, only_feature_set(start).recipe.weights, options)
    recipe, labels, splits = only_feature_set(start).recipe, _corrected(features), splits_of(features)
    rows = load_rows(source, recipe, options.rows, labels, splits)
    state = RunState(folder.with_name(folder.name + ".run"), settings_of(start, options, rows))
    with going_on(state):
        trained = run.train(rows, state, hooks=Hooks(progress))
        bundle = Bundle.of(trained.head, features, "keras-linear", calibrate=calibrate).save(folder)
    state.remove()
    return bundle


def _corrected(features: FeatureMatrix) -> dict[bytes, int]:
    """Return the labels that corrections changed, by the digest of the image."""
    changed = features.corrections.rows.values() if features.corrections else ()
    return {features.digests[row].tobytes(): int(features.y[row]) for rows in changed for row in rows}


def untrained(features: FeatureMatrix, seed: int) -> KerasHead:
    """Return the head of `keras-linear` before its first step, as the same seed starts it on features."""
    X, y = features.training_rows()
    classes = np.unique(y)
    units = number_of_logits(len(classes))
    coef = glorot(np.random.default_rng(seed), X.shape[1], units).T
    return KerasHead.from_weights(classes, coef, np.zeros(units, np.float32), seed=seed)
