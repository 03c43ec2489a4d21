"""Two loops that train one compiled model alike, and what happens around their epochs."""

import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from classify.finetuning.options import TrainingOptions
from classify.finetuning.run_state import RunState, is_over
from data.errors import missing_extra


class Batches:
    """Rows as batches; of training rows, `epoch` and the seed alone decide the order.

    Parameters
    ----------
    pixels : ndarray of float32, shape (N, height, width, 3)
    targets : ndarray of int, shape (N,)
        Indices of the head's classes.
    batch_size : int
    seed : int, optional
        Of the order; without it rows keep theirs.
    weights : ndarray of shape (N,), optional
        Of the rows' losses.

    Attributes
    ----------
    epoch : int
        To be set before an epoch begins.
    steps : int
        Batches of an epoch.
    """

    def __init__(
        self,
        pixels: np.ndarray,
        targets: np.ndarray,
        batch_size: int,
        seed: int | None = None,
        weights: np.ndarray | None = None,
    ) -> None:
        self.epoch, self.steps = 0, -(-len(targets) // batch_size)
        self._pixels, self._targets = pixels, targets[:, np.newaxis].astype(np.float32)
        self._weights = np.ones(len(targets), np.float32) if weights is None else weights
        self._batch_size, self._seed = batch_size, seed

    def dataset(self) -> tf.data.Dataset:
        """Return batches of pixels, targets (B, 1) and weights (B,), as `tf.data` reads them.

        Returns
        -------
        tf.data.Dataset
        """
        signature = (
            tf.TensorSpec((None, *self._pixels.shape[1:]), tf.float32),
            tf.TensorSpec((None, 1), tf.float32),
            tf.TensorSpec((None,), tf.float32),
        )
        batches = tf.data.Dataset.from_generator(self._generate, output_signature=signature)
        batches = batches.apply(tf.data.experimental.assert_cardinality(self.steps)).prefetch(1)
        return batches.with_options(_options())

    def _generate(self) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        order = np.arange(len(self._targets))
        if self._seed is not None:
            order = np.random.default_rng([self._seed, self.epoch]).permutation(order)
        for first in range(0, len(order), self._batch_size):
            rows = order[first : first + self._batch_size]
            yield self._pixels[rows], self._targets[rows], self._weights[rows]


def _options() -> tf.data.Options:
    """Return options without autotuning, of which our pipeline, its buffer given, has no use.

    Its thread sleeps 10 ms, 20 ms, 40 ms and so on, and now and then misses that a pass has ended, which
    then ends with its sleep only: about 2.56, 5.12, 10.24 s after its begin, up to twice as late.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return options


def accuracy_of(units: int) -> keras.metrics.Metric:
    """Return the share of right rows among so many logits, as a Keras metric."""
    if units > 1:
        return keras.metrics.SparseCategoricalAccuracy("accuracy")
    return keras.metrics.BinaryAccuracy("accuracy", threshold=0.0)


def optimizer_of(learning_rate: float, precision: str) -> keras.Optimizer:
    """Return Adam; in float16 the loss is scaled, so that small gradients do not vanish."""
    adam = keras.optimizers.Adam(learning_rate)
    return keras.optimizers.LossScaleOptimizer(adam) if precision == "float16" else adam


def fit_loop(
    model: keras.Model,
    training: Batches,
    validation: Batches | None,
    epochs: range,
    callbacks: Sequence[keras.callbacks.Callback],
) -> None:
    """Train with `keras.Model.fit`.

    Parameters
    ----------
    model : keras.Model
        From pixels to logits, compiled after the last change of ``trainable``.
    training, validation : Batches
    epochs : range
        Numbers of the epochs, from 0: a run that goes on begins later.
    callbacks : sequence of keras.callbacks.Callback
    """
    held = validation.dataset() if validation else None
    how: dict[str, object] = {"initial_epoch": epochs.start, "epochs": epochs.stop, "callbacks": callbacks}
    how |= {"verbose": 0, "shuffle": False}
    model.fit(training.dataset(), validation_data=held, **how)


def custom_loop(
    model: keras.Model,
    training: Batches,
    validation: Batches | None,
    epochs: range,
    callbacks: Sequence[keras.callbacks.Callback],
) -> None:
    """Train as `fit_loop` does, in a loop of our own over the trainable weights.

    Source: the guide "Transfer learning and fine-tuning" of Keras.
    """
    step = _step(model, training.dataset().element_spec)
    held = validation.dataset() if validation else None
    steps = training.steps
    called = keras.callbacks.CallbackList(callbacks, model=model, epochs=epochs.stop, steps=steps)
    model.stop_training = False
    called.on_train_begin()
    for epoch in epochs:
        called.on_epoch_begin(epoch)
        logs = {"loss": _one_epoch(model, step, training, called)}
        if held is not None:
            found = model.evaluate(held, verbose=0, return_dict=True)
            logs |= {f"val_{name}": value for name, value in found.items()}
        called.on_epoch_end(epoch, logs)
        if model.stop_training:
            break
    called.on_train_end()


def _step(model: keras.Model, batch: tuple[tf.TensorSpec, ...]) -> Callable[..., tf.Tensor]:
    """Compile one step over a batch of any size, once; it returns the loss before the step."""
    optimizer, weights = model.optimizer, model.trainable_weights
    optimizer.build(weights)

    @tf.function(input_signature=batch)
    def step(pixels: tf.Tensor, targets: tf.Tensor, shares: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            logits = model(pixels, training=True)
            loss = model.loss(targets, logits, sample_weight=shares)
            loss += tf.add_n([tf.constant(0.0), *model.losses])
            scaled = optimizer.scale_loss(loss)
        optimizer.apply(tape.gradient(scaled, weights), weights)
        return loss

    return step


def _one_epoch(
    model: keras.Model,
    step: Callable[..., tf.Tensor],
    training: Batches,
    callbacks: keras.callbacks.CallbackList,
) -> float:
    mean = keras.metrics.Mean()
    for number, (pixels, targets, shares) in enumerate(training.dataset()):
        callbacks.on_train_batch_begin(number)
        mean.update_state(step(pixels, targets, shares), sample_weight=len(targets))
        callbacks.on_train_batch_end(number, {"loss": float(mean.result())})
        if model.stop_training:
            break
    return float(mean.result())


LOOPS: dict[str, Callable[..., None]] = {"fit": fit_loop, "custom": custom_loop}


_log = logging.getLogger("headstart.finetune")

_NOTED = ("loss", "val_loss", "val_accuracy")


@dataclass(frozen=True)
class Hooks:
    """What is called while a run trains.

    Attributes
    ----------
    progress : callable
        With the batches done and to do.
    enough : callable
        With `RunState.epochs` after each epoch; true ends the training before its time.
    """

    progress: Callable[[int, int], None] = lambda done, total: None
    enough: Callable[[list[dict]], bool] = lambda epochs: False


class EpochCallback(keras.callbacks.Callback):
    """Make each epoch a function of seed and number, record it, and stop when it is time.

    Parameters
    ----------
    training : Batches
    state : RunState
    options : TrainingOptions
        Its seed, epochs and patience.
    hooks : Hooks

    Attributes
    ----------
    diverged : bool
        Whether a loss was not a finite number; nothing of that epoch is recorded.
    """

    def __init__(self, training: Batches, state: RunState, options: TrainingOptions, hooks: Hooks) -> None:
        super().__init__()
        self.diverged = False
        self._training, self._state, self._options, self._hooks = training, state, options, hooks

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Set the order of the rows and the random numbers of an epoch."""
        self._training.epoch = self._epoch = epoch
        reseed(self.model, self._options.seed, epoch)
        self._started = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Tell how far it is, and stop where the loss is no number."""
        if not math.isfinite((logs or {})["loss"]):
            self._stop_diverged()
        steps = self._training.steps
        self._hooks.progress(self._epoch * steps + batch + 1, self._options.epochs * steps)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Record the epoch, and stop where it was the last."""
        logs = logs or {}
        values = {name: float(logs[name]) for name in _NOTED if name in logs}
        if self.diverged or not all(map(math.isfinite, values.values())):
            self._stop_diverged()
            return
        values["seconds"] = round(time.perf_counter() - self._started, 2)
        self._state.record(epoch, values, self.model)
        held = f", validation loss {values['val_loss']:.4f}" if "val_loss" in values else ""
        _log.info(
            "epoch %d of %d: loss %.4f%s, %.1f s",
            *(epoch + 1, self._options.epochs, values["loss"], held, values["seconds"]),
        )
        options = self._options
        over = is_over(self._state.start, self._state.watched(), options.epochs, options.patience)
        if self._hooks.enough(self._state.epochs) or over:
            self.model.stop_training = True

    def _stop_diverged(self) -> None:
        self.diverged = self.model.stop_training = True


def reseed(model: keras.Model, seed: int, epoch: int) -> None:
    """Set the random numbers of dropout and augmentation to those of one epoch."""
    states = [value for value in model.non_trainable_variables if value.name == "seed_generator_state"]
    for number, state in enumerate(states):
        state.assign(np.random.SeedSequence([seed, epoch, number]).generate_state(2))


def tensorboard(folder: Path | None) -> list[keras.callbacks.Callback]:
    """Return what writes losses for TensorBoard into a folder; nothing for None.

    Raises
    ------
    HeadstartError
        If TensorBoard is not installed.
    """
    if folder is None:
        return []
    try:
        import_module("tensorboard")
    except ImportError as error:
        raise missing_extra("--tensorboard needs TensorBoard", "tensorboard", str(error)) from error
    return [keras.callbacks.TensorBoard(folder)]
