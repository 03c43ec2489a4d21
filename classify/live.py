"""A head trained with the frozen backbone in the graph: the peer of a head on cached features."""

from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path

import numpy as np

from classify.bundle import Bundle
from classify.end_to_end import Options, Run
from classify.finetune import ask_room, check_classes, going_on, settings_of
from classify.image_rows import load_rows
from classify.keras_head import KerasHead
from classify.linear import glorot, number_of_logits
from classify.matrix import FeatureMatrix
from classify.run_state import RunState
from classify.saved import check_output
from classify.transplant import only_feature_set
from data.errors import unknown_name
from data.source import Source, as_source

SETTINGS = tuple(field.name for field in fields(Options) if field.name != "unfreeze")
_GUIDES = {"learning_rate": 1e-3, "epochs": 20, "patience": 20, "augment": False}


def train_live(
    features: FeatureMatrix,
    source: Source,
    folder: str | Path,
    *,
    progress: Callable[[int, int], None] = lambda done, total: None,
    **options,
) -> Bundle:
    """Train the guide's head on images, which go through the frozen backbone in every epoch.

    With ``augment`` they differ from epoch to epoch, which cached features cannot.

    Parameters
    ----------
    features : FeatureMatrix
        Say the recipe and the classes, and judge the head that comes out.
    source : Source, str or Path
        The images that `features` were extracted from.
    folder : str or Path
        The new bundle; while it runs, its state is in ``FOLDER.run`` beside it.
    progress : callable, optional
        Called with the batches done and to do.
    **options
        Of `SETTINGS`; by default 20 epochs of Adam at 1e-3, not augmented.

    Returns
    -------
    Bundle
        Saved.

    Raises
    ------
    HeadstartError
        As `classify.finetune.finetune` raises it.

    Examples
    --------
    >>> features = load_features("photos.h5")  # doctest: +SKIP
    >>> train_live(features, open_source("photos/"), "photos-live", augment=True)  # doctest: +SKIP
    """
    folder, source = Path(folder), as_source(source)
    options = live_options(options)
    check_output(folder)
    start = Bundle.of(untrained(features, options.seed), features, "keras-linear")
    check_classes(start, source)
    run = Run(start, options)
    ask_room(folder, only_feature_set(start).recipe.weights, options)
    rows = load_rows(source, only_feature_set(start).recipe, options.rows)
    state = RunState(folder.with_name(folder.name + ".run"), settings_of(start, options, rows))
    with going_on(state):
        trained = run.train(rows, state, None, progress)
        bundle = Bundle.of(trained.head, features, "keras-linear").save(folder)
    state.remove()
    return bundle


def live_options(given: Mapping) -> Options:
    """Return how a head is trained live.

    Parameters
    ----------
    given : mapping
        Values of some of `SETTINGS`.

    Raises
    ------
    HeadstartError
        If a name or a value is none of them.

    Examples
    --------
    >>> live_options({"epochs": 5}).learning_rate
    0.001
    """
    for name in given:
        if name not in SETTINGS:
            raise unknown_name("parameter of a live head", name, SETTINGS)
    return Options(**{**_GUIDES, **given, "unfreeze": "none"})


def untrained(features: FeatureMatrix, seed: int) -> KerasHead:
    """Return the head of `keras-linear` before its first step, as the same seed starts it on features."""
    X, y = features.training_rows()
    head = KerasHead(seed=seed)
    head.classes_, head.n_features_in_ = np.unique(y), X.shape[1]
    units = number_of_logits(len(head.classes_))
    head.coef_ = glorot(np.random.default_rng(seed), X.shape[1], units).T
    head.intercept_ = np.zeros(units, np.float32)
    return head
