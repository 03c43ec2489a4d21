"""What a training of hours keeps on disk while it runs, so that a killed one goes on."""

import json
import logging
import math
import re
from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from data.errors import HeadstartError
from data.output.atomic import written_aside
from data.output.disk import writing
from data.text import with_type

if TYPE_CHECKING:
    import keras

FORMAT, FORMAT_VERSION = "headstart run of fine-tuning", 2
_OURS = re.compile(
    r"(run\.json|epoch-[0-9]+\.npz)(\..+\.tmp)?"
    r"|(aside\.)?best\.weights\.h5|backup/(latest\.weights\.h5|training_metadata\.json)(\.bkp)?"  # of 0.1
)
_log = logging.getLogger("headstart.finetune")


class RunState:
    """A folder beside the output, and what it says of the epochs that are done.

    An epoch is done once ``run.json`` names it; its weights, the optimizer's with them, are then
    whole in ``epoch-N.npz``, whose checksums tell a damaged one. Kept are those of the last two
    epochs, and of the best one of either time, so that a run can take up the epoch before.

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
    of_0_1 : bool
        Whether version 0.1 left the folder: `classify.finetuning.old_run.adopt` makes it one of this version.

    Raises
    ------
    HeadstartError
        If the folder belongs to a run of other settings, with each that differs, is damaged, or cannot
        be made.
    """

    def __init__(self, folder: Path, settings: dict) -> None:
        self.folder, self._settings = folder, settings
        self.start: float | None = None
        self.epochs: list[dict] = []
        found = _read(folder / "run.json")
        if found is None and any(not path.is_dir() and not self._is_ours(path) for path in folder.rglob("*")):
            raise _refused(folder, "a folder of such a run", "one with other files in it")
        if found is not None:
            _check_settings(folder, settings, found["settings"])
            self.start, self.epochs = found["start"], found["epochs"]
        self.of_0_1 = found is not None and "format" not in found
        with self._writing():
            folder.mkdir(parents=True, exist_ok=True)

    def begin(self, start: float | None, epochs: Sequence[dict] = ()) -> None:
        """Note the loss before the first epoch, and epochs whose weights are kept already."""
        self._commit(start, list(epochs))

    def record(self, epoch: int, values: dict, model: "keras.Model") -> None:
        """Note an epoch with the model after it; what was noted of it and of later ones is replaced.

        Parameters
        ----------
        epoch : int
            From 0.
        values : dict
            As `epochs` has them.
        model : keras.Model
            Compiled; its weights, those of its optimizer and its random numbers are kept.
        """
        self.keep(epoch + 1, model)
        self._commit(self.start, [*self.epochs[:epoch], values])

    def keep(self, epochs: int, model: "keras.Model") -> None:
        """Write the model after so many epochs."""
        tensors = [np.asarray(variable) for variable in _variables(model)]
        size = sum(tensor.nbytes for tensor in tensors)
        with self._writing(), written_aside(self._file(epochs), size) as aside, open(aside, "wb") as file:
            np.savez(file, *tensors)

    def resume(self, model: "keras.Model") -> int:
        """Set a model to what it was after the last epoch that can be gone on from; return its number.

        One can where its weights and those of the best until then can be read; later ones are
        forgotten, with a warning. Where none can, 0 is returned and the model stays as it is.
        """
        damaged = ""
        while self.epochs:
            try:
                for epoch in dict.fromkeys((self.best() or len(self.epochs), len(self.epochs))):
                    tensors = self._tensors(epoch, model)
                _assign(model, tensors)
                break
            except Exception as error:  # zip and numpy raise anything on damaged files
                damaged = (
                    damaged or f"epoch {epoch} cannot be read in {str(self.folder)!r} ({with_type(error)})"
                )
                self.epochs = self.epochs[:-1]
        if damaged:
            where = f"after epoch {len(self.epochs)}" if self.epochs else "from the start"
            _log.warning("warning: %s; the run goes on %s", damaged, where)
            self._commit(self.start, self.epochs)
        return len(self.epochs)

    def load(self, epochs: int, model: "keras.Model") -> None:
        """Set a model to what it was after so many epochs.

        Raises
        ------
        HeadstartError
            If they can no longer be read.
        """
        try:
            _assign(model, self._tensors(epochs, model))
        except Exception as error:
            raise HeadstartError(
                f"the weights of epoch {epochs} can no longer be read",
                f"{str(self._file(epochs))!r} as this run wrote it",
                with_type(error),
                "check the disk; the same command goes on from the last epoch that can be read",
            ) from error

    def watched(self) -> list[float]:
        """Return the loss to choose by, of each epoch: on validation rows, where there are any."""
        return _watched(self.epochs)

    def best(self) -> int:
        """Return how many epochs gave the lowest watched loss; 0 stands for the start."""
        return best_epoch(self.start, self.watched())

    def finished(self) -> int:
        """Return how many epochs the folder holds, also where a write was cut short a moment ago."""
        return len((_read(self.folder / "run.json") or {"epochs": []})["epochs"])

    def remove(self) -> None:
        """Remove the folder, or what in it is ours: the run is done."""
        try:
            (self.folder / "run.json").unlink()
            self._remove(keep=())
            self.folder.rmdir()
        except HeadstartError:
            raise
        except OSError:  # nothing is lost where it stays
            return

    def _file(self, epochs: int) -> Path:
        return self.folder / f"epoch-{epochs}.npz"

    def _tensors(self, epochs: int, model: "keras.Model") -> list[np.ndarray]:
        with np.load(self._file(epochs), allow_pickle=False) as file:
            tensors = [file[name] for name in file.files]
        if _kinds(tensors) != _kinds(_variables(model)):
            raise ValueError("weights of another model")
        return tensors

    def _commit(self, start: float | None, epochs: list[dict]) -> None:
        values = {"format": FORMAT, "format_version": FORMAT_VERSION}
        values |= {"settings": self._settings, "start": start, "epochs": epochs}
        with self._writing(), written_aside(self.folder / "run.json") as aside:
            aside.write_text(json.dumps(values, indent=1))
        self.start, self.epochs, self.of_0_1 = start, epochs, False
        needed = (len(epochs), len(epochs) - 1, self.best(), best_epoch(start, _watched(epochs[:-1])))
        with self._writing():
            self._remove(keep={"run.json", *(self._file(each).name for each in needed)})

    def _remove(self, keep: Collection[str]) -> None:
        """Remove what is ours and not needed, what killed runs left half written with it."""
        for path in filter(self._is_ours, [*self.folder.rglob("*")]):
            if path.name not in keep:
                path.unlink(missing_ok=True)
        with suppress(OSError):
            (self.folder / "backup").rmdir()

    def _is_ours(self, path: Path) -> bool:
        return _OURS.fullmatch(path.relative_to(self.folder).as_posix()) is not None

    def _writing(self) -> AbstractContextManager[None]:
        return writing(self.folder, "or choose another -o; the same command goes on from what is finished")


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


def _watched(epochs: Sequence[dict]) -> list[float]:
    return [values.get("val_loss", values["loss"]) for values in epochs]


def _variables(model: "keras.Model") -> "list[keras.Variable]":
    return [*model.variables, *model.optimizer.variables]


def _kinds(tensors: "Sequence[np.ndarray | keras.Variable]") -> list[tuple[tuple[int, ...], str]]:
    return [(tuple(tensor.shape), str(tensor.dtype)) for tensor in tensors]


def _assign(model: "keras.Model", tensors: Sequence[np.ndarray]) -> None:
    for variable, tensor in zip(_variables(model), tensors, strict=True):
        variable.assign(tensor)


def _read(path: Path) -> dict | None:
    """Return what a run noted; None where there is no run."""
    try:
        values = json.loads(path.read_text("utf-8"))
        _watched(values["epochs"])
        version = values["settings"] and values.get("format_version", FORMAT_VERSION)
    except HeadstartError:
        raise
    except FileNotFoundError:
        return None
    except Exception as error:  # JSON of anything
        raise _refused(path.parent, "what such a run notes, in run.json", with_type(error)) from error
    if version != FORMAT_VERSION:
        raise _refused(path.parent, f"{FORMAT} {FORMAT_VERSION}", f"{values.get('format')} {version}")
    return values


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
