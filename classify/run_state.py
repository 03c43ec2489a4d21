"""What a training of hours keeps on disk while it runs, so that a killed one goes on."""

import json
import math
import shutil
from collections.abc import Sequence
from pathlib import Path

from data.errors import HeadstartError
from extract.aside import written_aside


class RunState:
    """A folder beside the output, and what it says of the epochs that are done.

    Parameters
    ----------
    folder : Path
        Made where it does not exist.
    settings : dict of str to (str, int, float, bool or None)
        All that decides what the run computes.

    Attributes
    ----------
    start : float or None
        Watched loss before the first epoch; None where it was not measured.
    epochs : list of dict
        ``loss``, ``val_loss`` and ``val_accuracy`` where there are validation rows, and ``seconds`` of each.

    Raises
    ------
    HeadstartError
        If the folder belongs to a run of other settings, with each that differs.
    """

    def __init__(self, folder: Path, settings: dict):
        self.folder, self._settings = folder, settings
        self.start: float | None = None
        self.epochs: list[dict] = []
        found = _read(folder / "run.json")
        if found is None and folder.exists() and any(folder.iterdir()):
            raise _refused(folder, "a folder of such a run", "one with other files in it")
        if found is not None:
            _check_settings(folder, settings, found["settings"])
            self.start, self.epochs = found["start"], found["epochs"]
        folder.mkdir(exist_ok=True)

    @property
    def best(self) -> Path:
        """File of the best weights so far."""
        return self.folder / "best.weights.h5"

    @property
    def backup(self) -> Path:
        """Folder for `keras.callbacks.BackupAndRestore`."""
        return self.folder / "backup"

    def begin(self, start: float | None) -> None:
        """Note the loss before the first epoch."""
        self.start = start
        self._write()

    def record(self, epoch: int, values: dict) -> None:
        """Note an epoch; what was noted of it and of later ones is replaced."""
        self.epochs = [*self.epochs[:epoch], values]
        self._write()

    def watched(self) -> list[float]:
        """Return the loss to choose by, of each epoch: on validation rows, where there are any."""
        return [values.get("val_loss", values["loss"]) for values in self.epochs]

    def remove(self) -> None:
        """Remove the folder: the run is done."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _write(self) -> None:
        values = {"settings": self._settings, "start": self.start, "epochs": self.epochs}
        with written_aside(self.folder / "run.json") as aside:
            aside.write_text(json.dumps(values, indent=1))


def best_epoch(start: float | None, watched: Sequence[float]) -> int:
    """Return how many epochs gave the lowest loss; 0 stands for the start.

    Examples
    --------
    >>> best_epoch(0.5, [0.4, 0.3, 0.6]), best_epoch(0.2, [0.4, 0.3]), best_epoch(None, [0.4])
    (2, 0, 1)
    """
    losses = [math.inf if start is None else start, *watched]
    return losses.index(min(losses))


def is_over(start: float | None, watched: Sequence[float], epochs: int, patience: int) -> bool:
    """Tell whether all epochs are done, or so many in a row brought no lower loss.

    Examples
    --------
    >>> is_over(0.5, [0.4], 10, 2), is_over(0.5, [0.4, 0.6, 0.7], 10, 2), is_over(None, [0.4], 1, 2)
    (False, True, True)
    """
    return len(watched) >= epochs or len(watched) - best_epoch(start, watched) >= patience


def _read(path: Path) -> dict | None:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return None


def _check_settings(folder: Path, wanted: dict, found: dict) -> None:
    names = [name for name in {**wanted, **found} if wanted.get(name) != found.get(name)]
    if names:
        raise _refused(
            folder,
            ", ".join(f"{name}={wanted.get(name)}" for name in names) + ", as asked for",
            ", ".join(f"{name}={found.get(name)}" for name in names) + " in the folder",
        )


def _refused(folder: Path, expected: str, received: str) -> HeadstartError:
    return HeadstartError(
        f"{str(folder)!r} belongs to another run",
        expected,
        received,
        "go on with the command of that run, remove the folder to begin anew, or choose another -o",
    )
