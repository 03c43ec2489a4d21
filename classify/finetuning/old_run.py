"""What an interrupted run of version 0.1 left: Keras' own files, which were written in place."""

import logging
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from classify.finetuning.run_state import RunState

if TYPE_CHECKING:
    import keras

_FILES = ("backup/latest.weights.h5.bkp", "best.weights.h5", "backup/latest.weights.h5")
_log = logging.getLogger("headstart.finetune")


def adopt(state: RunState, model: "keras.Model", steps: int) -> None:
    """Turn the state of a run of version 0.1 into one of this version.

    A file says by the steps of its optimizer after which epoch it was written. One that was cut
    short is passed over with a warning; `RunState.resume` then takes the epoch before.

    Parameters
    ----------
    state : RunState
    model : keras.Model
        Compiled, its optimizer built; to be built anew afterwards, for a torn file is read in part.
    steps : int
        Of an epoch.
    """
    for path in (state.folder / name for name in _FILES):
        if path.exists() and _loaded(model, path):
            epoch = -(-int(model.optimizer.iterations) // steps)  # half precision leaves out a step at times
            if 0 < epoch <= len(state.epochs):
                state.keep(epoch, model)
    state.begin(state.start, state.epochs)


def _loaded(model: "keras.Model", path: Path) -> bool:
    with TemporaryDirectory() as folder:
        named = Path(folder) / "read.weights.h5"  # Keras insists on the suffix
        named.symlink_to(path.resolve())
        try:
            model.load_weights(named)
        except Exception as error:  # HDF5 and Keras raise anything on damaged files
            _log.warning("warning: %s is damaged, and passed over (%s)", path, type(error).__name__)
            return False
    return True
