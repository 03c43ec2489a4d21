"""Results of a sweep, ranked: the best, the simplest of the good, and a table of all."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

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
    """What a configuration reached on the validation rows.

    Attributes
    ----------
    head : str
    params : dict
    accuracy : Interval
        Of the first seed, by Wilson.
    rows : int
        Validation rows.
    log_loss : float
        Mean over the seeds.
    accuracies : list of float
        One for each seed.
    mean, deviation : float
        Of `accuracies`.
    seconds : float
        Of training, a fair share where several trained together.
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

    def to_dict(self) -> dict:
        """Return the result as JSON-ready values."""
        values = asdict(self)
        values["accuracy"]["rows"] = values.pop("rows")
        return values


@dataclass(frozen=True)
class Outcome:
    """What a sweep found.

    Attributes
    ----------
    results : list of Result
        The best first.
    winner : Result
    bundle : str
        Folder of the winner's bundle.
    test : dict or None
        Scores of the winner on the test rows; None where there are none.
    seconds : float
    warnings : list of str
        What is odd about the winner, as `classify.scores.judging.lone_answer` says it.
    """

    results: list[Result]
    winner: Result
    bundle: str
    test: dict | None
    seconds: float
    warnings: list[str] = field(default_factory=list)

    def to_dict(self) -> dict:
        """Return the outcome as JSON-ready values."""
        return {
            "leaderboard": [result.to_dict() for result in self.results],
            "winner": self.winner.to_dict(),
            "bundle": self.bundle,
            "test": self.test,
            "alike": alike(self.results),
            "seconds": self.seconds,
            "warnings": self.warnings,
        }


ORDERS: dict[str, Callable[[Result], tuple[float, float]]] = {
    "log_loss": lambda result: (result.log_loss, -result.mean),
    "accuracy": lambda result: (-result.mean, result.log_loss),
}


def choose(results: Sequence[Result], simplest_first: Sequence[Entry] | None = None) -> Result:
    """Return the best result, or the simplest one within a standard error of it.

    Source of the rule: L. Breiman, J. Friedman, R. Olshen, C. Stone (1984), Classification and
    regression trees. The standard error is that of the best one's accuracy on the validation
    rows.

    Parameters
    ----------
    results : sequence of Result
        The best first.
    simplest_first : sequence of Entry, optional
        What was tried, by rising complexity; without it the best result is chosen.
    """
    if simplest_first is None:
        return results[0]
    best = results[0]
    order = {entry.key: number for number, entry in enumerate(simplest_first)}
    good = [result for result in results if result.mean >= best.mean - _error(best)]
    return min(good, key=lambda result: order[Entry(result.head, result.params).key])


def leaderboard_csv(results: Sequence[Result]) -> str:
    """Lay out results as CSV."""
    rows = []
    for rank, result in enumerate(results, 1):
        params = json.dumps(result.params, sort_keys=True)
        ends = result.accuracy.low, result.accuracy.high
        values = (result.mean, result.deviation, *ends, result.log_loss, result.seconds)
        rows.append([rank, result.head, params, *(round(value, 6) for value in values)])
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


def result_of(entry: Entry, done: Mapping[tuple[str, int], Trial]) -> Result:
    """Put together what an entry reached with each seed."""
    trials = [done[place] for place in sorted(done) if place[0] == entry.key]
    accuracies = [one.right / one.rows for one in trials]
    return Result(
        head=entry.head,
        params=entry.params,
        accuracy=wilson(trials[0].right, trials[0].rows),
        rows=trials[0].rows,
        log_loss=float(np.mean([one.log_loss for one in trials])),
        accuracies=accuracies,
        mean=float(np.mean(accuracies)),
        deviation=float(np.std(accuracies, ddof=1)) if len(accuracies) > 1 else 0.0,
        seconds=sum(one.seconds for one in trials),
    )


def ranked(results: Sequence[Result], choose_by: str = "log_loss") -> list[Result]:
    """Order results, the best first, by an entry of `ORDERS`."""
    return sorted(results, key=ORDERS[choose_by])


def alike(results: Sequence[Result]) -> int:
    """Return how many results have an accuracy within a standard error of that of the first.

    Validation rows do not tell these apart.
    """
    return sum(abs(result.mean - results[0].mean) <= _error(results[0]) for result in results)


def _error(result: Result) -> float:
    return (result.mean * (1 - result.mean) / result.rows) ** 0.5
