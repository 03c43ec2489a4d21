"""Results of a sweep, ranked: the best, the simplest of the good, and a table of all."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import overload

import numpy as np

from classify.scores.intervals import Interval, wilson
from classify.selection.trials import Entry, Trial
from data.output.atomic import written_aside
from data.output.checks import check_file
from data.output.csv_file import csv_text
from data.output.disk import writing
from data.output.ours import LEADERBOARD


@dataclass(frozen=True)
class Result:
    """What a configuration reached on the rows that judge: validation rows, or those of all folds.

    Attributes
    ----------
    head : str
    params : dict
    accuracy : Interval
        Of the first seed, by Wilson.
    rows : int
        That judge.
    log_loss : float
        Mean over the seeds.
    accuracies : list of float
        One for each seed.
    mean, deviation : float
        Of `accuracies`.
    seconds : float
        Of training, a fair share where several trained together.
    balanced_accuracy : float
        Mean recall of the classes that have rows; mean over the seeds.
    errors : dict of str to float
        Standard errors of the first seed, by entry of `CRITERIA`.
    learned : int
        Training rows; of folds their mean.
    stopped : bool
        Whether it was given up after a part of the rows: it is not compared with those that were not.
    """

    head: str
    params: dict
    accuracy: Interval
    rows: int
    log_loss: float
    accuracies: list[float]
    mean: float
    deviation: float
    seconds: float
    balanced_accuracy: float = 0.0
    errors: dict[str, float] = field(default_factory=dict)
    learned: int = 0
    stopped: bool = False

    def to_dict(self) -> dict:
        """Return the result as JSON-ready values."""
        values = asdict(self)
        values["accuracy"]["rows"] = values.pop("rows")
        values["standard_errors"] = values.pop("errors")
        return values

    @property
    def key(self) -> str:
        """That of the entry."""
        return Entry(self.head, self.params).key


@dataclass(frozen=True)
class Criterion:
    """By what heads are ranked.

    Attributes
    ----------
    words : str
        Its name, for people.
    loss : callable
        Of a result; the lower the better.
    between_equals : callable
        As `loss`, where that does not tell.
    """

    words: str
    loss: Callable[[Result], float]
    between_equals: Callable[[Result], float]


CRITERIA: dict[str, Criterion] = {
    "log_loss": Criterion("log loss", lambda result: result.log_loss, lambda result: -result.mean),
    "accuracy": Criterion("accuracy", lambda result: -result.mean, lambda result: result.log_loss),
    "balanced_accuracy": Criterion(
        "balanced accuracy", lambda result: -result.balanced_accuracy, lambda result: result.log_loss
    ),
}


@dataclass(frozen=True)
class Leaderboard(Sequence[Result]):
    """What was tried, the best first; behind those what was stopped, which is not compared with them.

    Attributes
    ----------
    results : tuple of Result
    choose_by : str
        An entry of `CRITERIA`.
    judged_by : str
        The rows that judged, in words.
    folds : int
        0: validation rows judged.
    notes : tuple of str
        What was not trained, or not on all rows, and why, a line each.
    """

    results: tuple[Result, ...]
    choose_by: str
    judged_by: str = ""
    folds: int = 0
    notes: tuple[str, ...] = ()

    @overload
    def __getitem__(self, place: int) -> Result: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Result]: ...
    def __getitem__(self, place: int | slice) -> Result | Sequence[Result]:
        return self.results[place]

    def __len__(self) -> int:
        return len(self.results)

    def __iter__(self) -> Iterator[Result]:
        return iter(self.results)

    @property
    def compared(self) -> list[Result]:
        """Those that were trained on all rows."""
        return [result for result in self.results if not result.stopped]

    @property
    def error(self) -> float:
        """The standard error of the first, in what is chosen by: rows tell apart what differs by more."""
        return self.results[0].errors[self.choose_by]

    @property
    def alike(self) -> int:
        """How many are within a standard error of the first: the rows do not tell these apart."""
        loss = CRITERIA[self.choose_by].loss
        return sum(loss(result) <= loss(self.results[0]) + self.error for result in self.compared)

    def choose(self, simplest_first: Sequence[Entry] | None = None) -> Result:
        """Return the best result, or the simplest one within a standard error of it.

        Source of the rule: L. Breiman, J. Friedman, R. Olshen, C. Stone (1984), Classification and
        regression trees.

        Parameters
        ----------
        simplest_first : sequence of Entry, optional
            What was tried, by rising complexity; without it the best result is chosen.
        """
        if simplest_first is None:
            return self.results[0]
        order = {entry.key: number for number, entry in enumerate(simplest_first)}
        loss = CRITERIA[self.choose_by].loss
        good = [each for each in self.compared if loss(each) <= loss(self.results[0]) + self.error]
        return min(good, key=lambda result: order[result.key])

    def to_dict(self) -> dict:
        """Return it as JSON-ready values."""
        return {
            "leaderboard": [result.to_dict() for result in self.results],
            "choose_by": self.choose_by,
            "judged_by": self.judged_by,
            "folds": self.folds,
            "standard_error": self.error,
            "alike": self.alike,
            "notes": list(self.notes),
        }


@dataclass(frozen=True)
class Outcome:
    """What a sweep found.

    Attributes
    ----------
    results : Leaderboard
        The best first.
    winner : Result
    bundle : str
        Folder of the winner's bundle.
    test : dict or None
        Scores of the winner on the test rows; None where there are none.
    seconds : float
    warnings : list of str
        What is odd about the winner, as `classify.scores.judging.lone_answer` says it.
    calibration : dict or None
        Its temperature, as `classify.scores.temperature.Calibration.to_dict` returns it; the leaderboard
        is of probabilities without it.
    """

    results: Leaderboard
    winner: Result
    bundle: str
    test: dict | None
    seconds: float
    warnings: list[str] = field(default_factory=list)
    calibration: dict | None = None

    def to_dict(self) -> dict:
        """Return the outcome as JSON-ready values."""
        return {
            **self.results.to_dict(),
            "winner": self.winner.to_dict(),
            "bundle": self.bundle,
            "calibration": self.calibration,
            "test": self.test,
            "seconds": self.seconds,
            "warnings": self.warnings,
        }


def leaderboard_csv(results: Sequence[Result]) -> str:
    """Lay out results as CSV; what was stopped has no rank."""
    rows = []
    for rank, result in enumerate(results, 1):
        params = json.dumps(result.params, sort_keys=True)
        ends = result.accuracy.low, result.accuracy.high
        scores = (result.mean, result.deviation, *ends, result.log_loss, result.seconds)
        figures = [round(value, 6) for value in (*scores, result.balanced_accuracy)]
        rows.append(
            [None if result.stopped else rank, result.head, params, *figures, result.learned, result.rows]
        )
    return csv_text(LEADERBOARD, rows)


def write_leaderboard(path: Path, results: Sequence[Result]) -> None:
    """Write results as CSV.

    Raises
    ------
    HeadstartError
        If the file cannot be written, or is there and no leaderboard.
    """
    check_file(path, "leaderboard", "--leaderboard")
    with writing(path, "or choose another --leaderboard"), written_aside(path) as aside:
        aside.write_text(leaderboard_csv(results))


def result_of(entry: Entry, trials: Sequence[Trial], stopped: bool = False) -> Result:
    """Put together what an entry reached, with each seed on each part of the rows.

    Parameters
    ----------
    entry : Entry
    trials : sequence of Trial
        Of that entry.
    stopped : bool
        Whether they learned from a part of the rows.
    """
    seeds = sorted({trial.seed for trial in trials})
    reached = [_Reached.by([trial for trial in trials if trial.seed == seed]) for seed in seeds]
    accuracies = [one.right.sum() / one.rows for one in reached]
    first = reached[0]
    return Result(
        head=entry.head,
        params=entry.params,
        accuracy=wilson(int(first.right.sum()), first.rows),
        rows=first.rows,
        log_loss=float(np.mean([one.loss / one.rows for one in reached])),
        accuracies=[float(accuracy) for accuracy in accuracies],
        mean=float(np.mean(accuracies)),
        deviation=float(np.std(accuracies, ddof=1)) if len(accuracies) > 1 else 0.0,
        seconds=sum(one.seconds for one in trials),
        balanced_accuracy=float(np.mean([one.recalls.mean() for one in reached])),
        errors=first.errors(),
        learned=round(np.mean([one.learned for one in trials])),
        stopped=stopped,
    )


@dataclass(frozen=True)
class _Reached:
    """Sums over all parts of one seed, as a `Trial` has them."""

    right: np.ndarray
    of: np.ndarray
    loss: float
    squares: float

    @classmethod
    def by(cls, trials: Sequence[Trial]) -> "_Reached":
        classes = max(len(trial.of) for trial in trials)
        right, of = np.zeros((2, classes), int)
        for trial in trials:
            right[: len(trial.right)] += trial.right
            of[: len(trial.of)] += trial.of
        return cls(right, of, sum(one.loss for one in trials), sum(one.squares for one in trials))

    @property
    def rows(self) -> int:
        return int(self.of.sum())

    @property
    def recalls(self) -> np.ndarray:
        there = self.of > 0
        return self.right[there] / self.of[there]

    def errors(self) -> dict[str, float]:
        """Return standard errors, of the means over rows and of the mean over classes."""
        rows, recalls = self.rows, self.recalls
        accuracy, mean = self.right.sum() / rows, self.loss / rows
        variances = recalls * (1 - recalls) / self.of[self.of > 0]
        return {
            "log_loss": float((max(self.squares / rows - mean**2, 0.0) / rows) ** 0.5),
            "accuracy": float((accuracy * (1 - accuracy) / rows) ** 0.5),
            "balanced_accuracy": float(variances.sum() ** 0.5 / len(recalls)),
        }


def ranked(results: Sequence[Result], choose_by: str = "log_loss") -> list[Result]:
    """Order results, the best first, by an entry of `CRITERIA`; what was stopped last, the furthest first."""
    by = CRITERIA[choose_by]

    def order(result: Result) -> tuple[bool, int, float, float]:
        behind = -result.learned if result.stopped else 0
        return result.stopped, behind, by.loss(result), by.between_equals(result)

    return sorted(results, key=order)
