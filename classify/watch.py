"""What happens around the epochs of a run: random numbers, journal, early stop."""

import logging
import math
import time
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np

from classify.loops import Batches
from classify.run_state import RunState, is_over
from data.errors import missing_extra

_log = logging.getLogger("headstart.finetune")
_NOTED = ("loss", "val_loss", "val_accuracy")


class Watch(keras.callbacks.Callback):
    """Make each epoch a function of seed and number, note it, and stop when it is time.

    Parameters
    ----------
    training : Batches
    state : RunState
    options : Options
        Of `classify.end_to_end`: its seed, epochs and patience.
    progress : callable
        Called with the batches done and to do.
    enough : callable
        Called with the noted epochs after each; true ends the run.

    Attributes
    ----------
    diverged : bool
        Whether a loss was no finite number; nothing of that epoch is noted.
    """

    def __init__(self, training: Batches, state: RunState, options, progress: Callable, enough: Callable):
        super().__init__()
        self.diverged = False
        self._training, self._state, self._options = training, state, options
        self._progress, self._enough = progress, enough

    def on_epoch_begin(self, epoch, logs=None):
        self._training.epoch = self._epoch = epoch
        reseed(self.model, self._options.seed, epoch)
        self._started = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        if not math.isfinite(logs["loss"]):
            self._stop_diverged()
        steps = self._training.steps
        self._progress(self._epoch * steps + batch + 1, self._options.epochs * steps)

    def on_epoch_end(self, epoch, logs=None):
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
        if self._enough(self._state.epochs) or over:
            self.model.stop_training = True

    def _stop_diverged(self) -> None:
        self.diverged = self.model.stop_training = True


def reseed(model, seed: int, epoch: int) -> None:
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
        import tensorboard  # noqa: F401
    except ImportError as error:
        raise missing_extra("--tensorboard needs TensorBoard", "tensorboard", str(error)) from error
    return [keras.callbacks.TensorBoard(folder)]
