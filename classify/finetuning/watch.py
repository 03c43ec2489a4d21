"""What happens around the epochs of a run: random numbers, record, early stop."""

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import keras
import numpy as np

from classify.finetuning.loops import Batches
from classify.finetuning.options import TrainingOptions
from classify.finetuning.run_state import RunState, is_over
from data.errors import missing_extra

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
