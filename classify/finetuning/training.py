"""Training with the backbone in the graph: every image goes through it in every epoch."""

import logging
from dataclasses import asdict, dataclass, field
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from sklearn.utils.class_weight import compute_sample_weight

from classify.bundle.bundle import Bundle
from classify.bundle.keras_model import only_feature_set
from classify.finetuning.images import ImageRows
from classify.finetuning.loops import (
    LOOPS,
    Batches,
    EpochCallback,
    Hooks,
    accuracy_of,
    optimizer_of,
    tensorboard,
)
from classify.finetuning.model import Counts, GuideModel, check_frozen, counts, frozen_digest, unfreeze
from classify.finetuning.old_run import adopt
from classify.finetuning.options import TrainingOptions
from classify.finetuning.run_state import RunState, is_over
from classify.heads.keras_head import KerasHead
from classify.heads.net import loss_of
from data.errors import HeadstartError
from extract.recipe import Recipe

_log = logging.getLogger("headstart.finetune")


@dataclass(frozen=True)
class TrainingRecord:
    """What is to be told of a training.

    Attributes
    ----------
    parameters : Counts
    frozen_digest : str
        Of the weights that were not trained.
    batch_size : int
        The last one: smaller than asked for where memory ran out.
    start_loss : float or None
        Validation loss before the first epoch.
    history : list of dict
        As `RunState.epochs`.
    best_epoch : int
        Whose weights were kept; 0 is the start.
    stopped : str
        ``all epochs``, ``early`` or ``diverged``.
    """

    parameters: Counts
    frozen_digest: str
    batch_size: int
    start_loss: float | None
    history: list[dict]
    best_epoch: int
    stopped: str

    def to_dict(self) -> dict:
        """Return the record as JSON-ready values."""
        return asdict(self)


@dataclass(frozen=True)
class TunedModel:
    """What a training leaves.

    Attributes
    ----------
    head : KerasHead
    tensors : list of ndarray
        Of the whole backbone.
    record : TrainingRecord
    """

    head: KerasHead = field(repr=False)
    tensors: list[np.ndarray] = field(repr=False)
    record: TrainingRecord


class Run:
    """The training of one bundle's backbone and head.

    Parameters
    ----------
    bundle : Bundle
    options : TrainingOptions

    Raises
    ------
    HeadstartError
        If the head cannot be transplanted, the weights are not found, or there is no such block.
    """

    def __init__(self, bundle: Bundle, options: TrainingOptions) -> None:
        self._bundle, self._options = bundle, options
        self._batch_size = options.batch_size
        self._build()

    def train(
        self,
        rows: dict[str, ImageRows],
        state: RunState,
        logs: Path | None = None,
        hooks: Hooks = Hooks(),  # noqa: B008  (frozen)
    ) -> TunedModel:
        """Train; where memory runs out, go on from the last finished epoch with half a batch.

        Parameters
        ----------
        rows : dict of str to ImageRows
            ``train``, and ``validation`` to choose the best epoch by.
        state : RunState
        logs : Path, optional
            Folder for TensorBoard.
        hooks : Hooks, optional

        Raises
        ------
        HeadstartError
            If memory does not suffice for one image, or frozen weights have changed.
        """
        while True:
            try:
                stopped = self._run_epochs(rows, state, logs, hooks)
                break
            except tf.errors.ResourceExhaustedError as error:
                if self._batch_size == 1:
                    raise _no_memory(only_feature_set(self._bundle).recipe) from error
            self._batch_size = (self._batch_size + 1) // 2
            _log.warning("out of memory: batches of %d images from now on", self._batch_size)
            self._build()
        self._take_best(state)
        record = TrainingRecord(
            parameters=counts(self._guide.model),
            frozen_digest=self._frozen,
            batch_size=self._batch_size,
            start_loss=state.start,
            history=state.epochs,
            best_epoch=state.best(),
            stopped=stopped,
        )
        return TunedModel(self._guide.head(), self._guide.backbone.get_weights(), record)

    def predict(self, pixels: np.ndarray) -> np.ndarray:
        """Return the label of each image by the weights as they are: the best, after `train`.

        Parameters
        ----------
        pixels : ndarray of float32, shape (N, height, width, 3)

        Returns
        -------
        ndarray of int, shape (N,)
        """
        rows = Batches(pixels, np.zeros(len(pixels)), self._batch_size)
        logits = self._guide.model.predict(rows.dataset(), verbose=0)
        chosen = logits.argmax(axis=1) if logits.shape[1] > 1 else (logits[:, 0] > 0).astype(int)
        return self._bundle.head.classes_[chosen]

    def _build(self) -> None:
        options = self._options
        guide = GuideModel(
            self._bundle, augment=options.augment, seed=options.seed, precision=options.precision
        )
        unfreeze(guide.base, options.unfreeze)
        units = guide.model.output_shape[-1]
        optimizer = optimizer_of(options.learning_rate, options.precision)
        guide.model.compile(optimizer, loss_of(units), metrics=[accuracy_of(units)])
        guide.model.optimizer.build(guide.model.trainable_variables)  # saved weights hold its state too
        self._guide, self._frozen = guide, frozen_digest(guide.base)

    def _run_epochs(
        self, rows: dict[str, ImageRows], state: RunState, logs: Path | None, hooks: Hooks
    ) -> str:
        """Train until it is over, and return why it ended."""
        training, validation = self._batches(rows)
        if state.of_0_1:
            adopt(state, self._guide.model, training.steps)
            self._build()  # a torn file may have been loaded in part
        model, options = self._guide.model, self._options
        first = state.resume(model)
        if not first:
            state.begin(_loss(model, validation) if validation else None)
        watcher = EpochCallback(training, state, options, hooks)
        if not is_over(state.start, state.watched(), options.epochs, options.patience):
            epochs, callbacks = range(first, options.epochs), [watcher, *tensorboard(logs)]
            LOOPS[options.loop](model, training, validation, epochs, callbacks)
        if watcher.diverged:
            _log.warning(
                "epoch %d: the loss is not a finite number; the last good weights are kept",
                len(state.epochs) + 1,
            )
            return "diverged"
        return "all epochs" if len(state.epochs) == options.epochs else "early"

    def _take_best(self, state: RunState) -> None:
        """Set the model to the best epoch; that before the first is how it is built."""
        best = state.best()
        if best:
            state.load(best, self._guide.model)
        check_frozen(self._guide.base, self._frozen)
        if not best:
            self._build()

    def _batches(self, rows: dict[str, ImageRows]) -> tuple[Batches, Batches | None]:
        classes, train, held = self._bundle.head.classes_, rows["train"], rows["validation"]
        weights = None
        if self._options.class_weight:
            weights = compute_sample_weight(self._options.class_weight, train.y).astype(np.float32)
        targets = np.searchsorted(classes, train.y)
        training = Batches(train.pixels, targets, self._batch_size, self._options.seed, weights)
        known = np.isin(held.y, classes)
        if not known.any():
            return training, None
        pixels = held.pixels if known.all() else held.pixels[known]
        return training, Batches(pixels, np.searchsorted(classes, held.y[known]), self._batch_size)


def _loss(model: keras.Model, rows: Batches) -> float:
    return model.evaluate(rows.dataset(), verbose=0, return_dict=True)["loss"]


def _no_memory(recipe: Recipe) -> HeadstartError:
    return HeadstartError(
        "the device has too little memory to train on one image",
        "memory for the backbone, its gradients and one image",
        f"an image of {recipe.image_size[0]}x{recipe.image_size[1]} pixels",
        "unfreeze fewer blocks, as --unfreeze block14, or extract with a smaller --image-size",
    )
