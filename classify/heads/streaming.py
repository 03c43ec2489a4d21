"""Heads on matrices larger than memory: the same estimators, fitted in passes over blocks of rows."""

import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
from sklearn.pipeline import Pipeline

from classify.features.blocks import Blocks, fit_scaler, least_memory
from classify.features.columns import Columns
from classify.features.matrix import FeatureMatrix
from classify.head import Head, taken_by
from classify.heads.entry import Sizes, imported
from classify.heads.fit import explained, fit_head
from classify.heads.keras_head import KerasHead
from classify.heads.logistic import AUTO, Logistic
from classify.heads.memory import DEFAULT, how_to_train, readable, refusal, too_little
from classify.heads.ridge import RidgeHead
from classify.heads.table import HEADS
from classify.penalized.penalty import FOLDS
from classify.penalized.softmax import solver_bytes
from classify.scores.calibration import number_of_logits
from data.errors import HeadstartError
from data.lists import as_list

Rows = tuple[Blocks, np.ndarray]  # features, and the index of each row's class
_log = logging.getLogger("headstart")


def train_head(
    name: str, head: Head, features: FeatureMatrix, memory: int | None
) -> tuple[Head, FeatureMatrix]:
    """Fit a head to the training rows, in memory or in blocks.

    Parameters
    ----------
    name : str
        Of the head in `classify.heads.table.HEADS`.
    head : scikit-learn classifier
        As `classify.heads.table.make_head` makes it.
    features : FeatureMatrix
        Loaded with ``in_memory=False``; of joined or sharded files X is no `Columns`.
    memory : int or None
        Bytes; None means 1 GB for heads that can read larger matrices in blocks, else all there is.

    Returns
    -------
    head : scikit-learn classifier
    features : FeatureMatrix
        With a matrix in memory where that is how the head was fitted.

    Raises
    ------
    HeadstartError
        If the memory is too little, or the head cannot learn from these rows.
    """
    matrix = 4 * len(features.rows("train")) * features.X.shape[1]
    how = how_to_train(name, matrix, memory)
    if how == "refused" and memory is not None:
        raise refusal(name, matrix, memory)
    if how == "streaming" and isinstance(features.X, Columns):
        return fit_streaming(name, head, features, memory or DEFAULT), features
    if how == "streaming" and memory is not None:
        raise HeadstartError(
            "joined or sharded files are trained in memory",
            "one file, whose rows can be read in blocks, or memory for all",
            f"training rows of {readable(matrix)}, and --memory {readable(memory)}",
            "leave --memory out; python -m extract merge makes one file of shards",
        )
    if isinstance(features.X, Columns):
        features = replace(features, X=features.X.in_memory())
    groups = features.groups_of(features.rows("train"))
    return fit_head(head, *features.training_rows(), *features.split("validation"), groups), features


def fit_streaming(name: str, head: Head, features: FeatureMatrix, memory: int) -> Head:
    """Fit a head in passes over blocks of the training rows.

    Parameters
    ----------
    name : str
        One of those in `classify.heads.table.HEADS` that have `streaming`.
    head : scikit-learn classifier
        As `classify.heads.table.make_head` makes it; fitted in place.
    features : FeatureMatrix
        Whose X is `Columns`.
    memory : int
        Bytes that training may take beyond what the program and the file's labels take.

    Returns
    -------
    scikit-learn classifier
        What fitting in memory gives: equal but for rounding and, where the order of rows matters,
        for that order.

    Raises
    ------
    HeadstartError
        If the memory is too little, or the head cannot learn from these rows.
    """
    columns, streaming = features.X, HEADS[name].streaming
    if streaming is None or not isinstance(columns, Columns):
        raise TypeError(f"{name} is fitted in blocks: one with `streaming`, of features not in memory")
    features.check_training()
    rows = features.rows("train")
    classes, numbers = np.unique(features.y[rows], return_inverse=True)
    held_out = features.rows("validation")
    held_out = held_out[np.isin(features.y[held_out], classes)]
    width = columns.shape[1]
    fixed = imported(streaming.memory)(head, Sizes(width, len(classes), len(rows), len(held_out)))
    scores = len(rows) * (16 * len(features.class_names) + 64)
    least = max(fixed, scores) + least_memory(width)
    if memory < least:
        raise too_little(name, least, memory)
    blocks = Blocks(columns, rows, features.ids, memory - fixed)
    validation = Blocks(columns, held_out, features.ids, memory - fixed)
    judging = (validation, np.searchsorted(classes, features.y[held_out])) if len(held_out) else None
    started = time.perf_counter()
    with explained(head):
        fit = imported(streaming.fit)
        fit(head, classes, (blocks, numbers), judging, **taken_by(fit, groups=features.groups_of(rows)))
    seconds = time.perf_counter() - started
    _log.info("rows read %d times in blocks, within %s, in %.1f s", blocks.passes, readable(memory), seconds)
    return head


def linear_bytes(head: Head, sizes: Sizes) -> int:
    """Return more bytes than Adam's moments and sums by class take."""
    return 32 * sizes.weights


def logistic_bytes(head: Logistic, sizes: Sizes) -> int:
    """Return the bytes of L-BFGS, of all folds where they choose the penalty."""
    fits = FOLDS if head.C == AUTO and not sizes.held_out else 1
    return solver_bytes((fits, number_of_logits(sizes.classes), sizes.width + 1))


def net_bytes(head: KerasHead, sizes: Sizes) -> int:
    """Return the bytes of a net: its weights, their gradient and Adam's moments."""
    units = (sizes.width, *as_list(head.hidden), number_of_logits(sizes.classes))
    return 32 * sum(one * two for one, two in pairwise(units))


def ridge_bytes(head: RidgeHead, sizes: Sizes) -> int:
    """Return the bytes of the Gram matrix, its vectors, LAPACK's room, and each penalty's solution."""
    decision = 8 * number_of_logits(sizes.classes)
    solutions = len(as_list(head.alphas)) * (sizes.weights + sizes.held_out * decision)
    return 5 * 8 * sizes.width**2 + solutions + sizes.rows * decision


def fit_logistic(
    head: Logistic,
    classes: np.ndarray,
    training: Rows,
    validation: Rows | None,
    groups: Sequence[str] | None = None,
) -> None:
    """Fit by L-BFGS, one pass for each value; validation rows, else folds, choose the penalty."""
    head.fit_encoded(*training, classes, validation, groups)


def fit_centroid(pipeline: Pipeline, classes: np.ndarray, training: Rows, validation: Rows | None) -> None:
    """Fit scikit-learn's NearestCentroid from the sums of each class.

    Source: R. Tibshirani et al. (2002), PNAS 99(10), 6567-6572, as in scikit-learn.
    """
    blocks, numbers = training
    scaler, head = pipeline[0], pipeline[-1]
    fit_scaler(scaler, blocks)
    standardized = blocks.standardized(scaler.mean_, scaler.scale_)
    sums, squares = np.zeros((len(classes), blocks.shape[1])), np.zeros(blocks.shape[1])
    for places, block in standardized.in_order():
        sums += (numbers[places] == np.arange(len(classes))[:, np.newaxis]).astype(np.float32) @ block
        squares += np.einsum("nd,nd->d", block, block)
    blocks.passes += standardized.passes
    if not squares.any():
        raise ValueError("All features have zero variance. Division by zero.")
    counts = np.bincount(numbers)[:, np.newaxis]
    means, middle = sums / counts, sums.sum(axis=0) / len(blocks)
    within = np.maximum(squares - (counts * means**2).sum(axis=0), 0) / (len(blocks) - len(classes))
    head.within_class_std_dev_ = np.sqrt(within)
    deviation = head.within_class_std_dev_ + np.median(head.within_class_std_dev_)
    unit = np.sqrt(1 / counts - 1 / len(blocks)) * deviation
    head.deviations_ = (means - middle) / unit
    if head.shrink_threshold:
        less = np.abs(head.deviations_) - head.shrink_threshold
        head.deviations_ = np.sign(head.deviations_) * np.maximum(less, 0)
        means = middle + unit * head.deviations_
    head.class_prior_ = np.full(len(classes), 1 / len(classes))
    head.centroids_, head.classes_, head.n_features_in_ = means, classes, blocks.shape[1]


def fit_ridge(head: RidgeHead, classes: np.ndarray, training: Rows, validation: Rows | None) -> None:
    """Fit by the Gram matrix; validation rows choose the penalty."""
    if validation is None:
        raise HeadstartError(
            "ridge larger than memory chooses its penalty by validation rows",
            "labelled validation rows of the training classes",
            "none",
            "name a validation split, raise --memory, or choose another head",
        )
    head.fit_encoded(*training, classes, validation)


def fit_keras(head: KerasHead, classes: np.ndarray, training: Rows, validation: Rows | None) -> None:
    """Train in epochs of shuffled blocks; validation rows are read where they stop the training."""
    head.fit_encoded(*training, classes, None if head.patience is None else validation)
