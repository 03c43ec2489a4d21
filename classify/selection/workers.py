"""Trainings of a sweep on all cores, kept as they finish."""

import json
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from classify.heads.table import HEADS
from classify.selection.division import Division
from classify.selection.groups import attempt, group_of
from classify.selection.leaderboard import Leaderboard, Result, ranked, result_of
from classify.selection.options import SweepOptions
from classify.selection.plan import ALL, Plan, cost_of, survivors
from classify.selection.trials import Entry, Place, Trial, kept_in, read_journal
from data.console import say
from data.errors import HeadstartError
from data.text import counted

Progress = Callable[[int, int], None]  # of trainings done and in all


@dataclass(frozen=True)
class Task:
    """Configurations that train together, on so many ninths of the rows of a part."""

    members: tuple[Entry, ...]
    seed: int
    part: int
    pieces: int


class Workers:
    """Trains configurations on all cores.

    Parameters
    ----------
    division : Division
    options : SweepOptions
    done : mapping of Place to Trial
        What is not trained again.
    keep : callable
        Called with each trial as it finishes.
    progress : callable, optional
    """

    def __init__(
        self,
        division: Division,
        options: SweepOptions,
        done: dict[Place, Trial],
        keep: Callable[[Trial], None],
        progress: Progress | None = None,
    ) -> None:
        self._division, self._options = division, options
        self._done, self._keep = done, keep
        self._progress = progress or (lambda done, total: None)
        self._tell, self._refusal = warnings_teller(), HeadstartError(*_NOTHING)
        self._started, self._spent, self._planned = time.monotonic(), 0.0, 0.0
        self._late: set[str] = set()  # keys of what no time was left for

    def carry_out(self, plan: Plan) -> Leaderboard:
        """Train what a plan says, and rank it.

        Raises
        ------
        HeadstartError
            If no head can learn from the rows, or a budget allows none.
        """
        whole, alive, stopped = plan.whole, plan.halved, list[Result]()
        for pieces, count in plan.rungs():
            tasks = self._tasks(alive[:count], pieces, None if pieces == ALL else 1)
            self._train([*self._tasks(whole, ALL, None), *tasks])
            whole = ()
            if pieces != ALL:
                reached = ranked(self._results(alive, pieces), self._options.choose_by)
                kept = survivors(count)
                stopped += reached[kept:]
                order = {result.key: place for place, result in enumerate(reached[:kept])}
                alive = tuple(sorted((e for e in alive if e.key in order), key=lambda e: order[e.key]))
        return self.ranked([*self._results([*plan.whole, *alive], ALL), *stopped], plan.notes)

    def ranked(self, results: Sequence[Result], notes: Sequence[str] = ()) -> Leaderboard:
        """Rank results, and say by what.

        Raises
        ------
        HeadstartError
            If there are none.
        """
        if all(result.stopped for result in results):
            raise self._refusal
        by, division = self._options.choose_by, self._division
        if self._options.budget is not None:
            counts = Counter(json.loads(key)[0] for key in self._late)
            named = [f"{head} ({counted(count, 'configuration')})" for head, count in sorted(counts.items())]
            late = f"no time was left for {', '.join(named)}; " if named else ""
            notes = [*(f"planned: {note}" for note in notes), f"{late}{_DEPENDS}"]
        elif notes:
            notes = [*notes, "--exhaustive trains everything on all rows"]
        return Leaderboard(tuple(ranked(results, by)), by, division.words, division.folds, tuple(notes))

    def result(self, entry: Entry) -> Result | None:
        """Train one configuration on all rows; None where it cannot learn, which is said."""
        self._train(self._tasks([entry], ALL, None))
        return next(iter(self._results([entry], ALL)), None)

    def _tasks(self, chosen: Sequence[Entry], pieces: int, seeds: int | None) -> list[Task]:
        """Group the configurations that train together; what is done is left out."""
        groups: dict[tuple[str, ...], list[Entry]] = {}
        for entry in chosen:
            groups.setdefault(group_of(entry), []).append(entry)
        tasks = []
        for members in groups.values():
            for seed in range(HEADS[members[0].head].trainings(seeds or self._options.seeds)):
                for part in range(len(self._division.parts)):
                    learned = self._division.learned(part, pieces)
                    missing = [each for each in members if (each.key, seed, part, learned) not in self._done]
                    if missing:
                        tasks.append(Task(tuple(missing), seed, part, pieces))
        return tasks

    def _train(self, tasks: Sequence[Task]) -> None:
        """Train: the longest first, so that all cores are busy to the end; within a budget last."""
        from joblib import Parallel, delayed, effective_n_jobs

        ordered = sorted(tasks, key=self._cost, reverse=self._options.budget is None)
        total = len(self._done) + sum(len(task.members) for task in tasks)
        self._progress(len(self._done), total)
        work = (
            delayed(attempt)(task.members, task.seed, task.part, self._division.part(task.part, task.pieces))
            for task in ordered
            if self._in_time(task)
        )
        jobs = max(1, min(effective_n_jobs(self._options.jobs), len(ordered)))
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "A worker stopped while some jobs")  # it is replaced
            for finished in Parallel(jobs, return_as="generator_unordered", pre_dispatch="n_jobs")(work):
                self._take(finished)
                self._progress(len(self._done), total)

    def _take(self, finished: list[Trial] | HeadstartError) -> None:
        if isinstance(finished, HeadstartError):
            if str(finished) != str(self._refusal):  # once, whatever the number of folds
                say(f"left out: {finished.happened}: {finished.received}")
            self._refusal = finished
            return
        for trial in finished:
            self._done[trial.place] = trial
            self._spent += trial.seconds
            self._keep(trial)
            self._tell(trial)

    def _cost(self, task: Task) -> float:
        sizes = self._division.sizes(task.pieces)
        return sum(cost_of(entry, sizes) for entry in task.members)

    def _in_time(self, task: Task) -> bool:
        """Tell whether a budget allows a training, at the speed of those before; else its heads are late."""
        if self._options.budget is None:
            return True
        cost = self._cost(task)
        speed = self._spent / self._planned if self._spent else 1.0
        if time.monotonic() - self._started + cost * speed > 60 * self._options.budget:
            self._late.update(entry.key for entry in task.members)
            return False
        self._planned += cost
        return True

    def _results(self, chosen: Sequence[Entry], pieces: int) -> list[Result]:
        """Return what configurations reached that every part has judged, with the seeds that all have."""
        parts = range(len(self._division.parts))
        found = []
        for entry in chosen:
            seeds = range(HEADS[entry.head].trainings(self._options.seeds if pieces == ALL else 1))
            places = [
                [(entry.key, seed, part, self._division.learned(part, pieces)) for part in parts]
                for seed in seeds
            ]
            trials = [
                self._done[place] for each in places if self._done.keys() >= set(each) for place in each
            ]
            if trials and trials[0].seed == 0:
                found.append(result_of(entry, trials, stopped=pieces != ALL))
        return found


_DEPENDS = "within a budget the choice depends on the machine"
_NOTHING = (
    "the budget of the sweep is too small",
    "time for one configuration or more",
    "none was finished",
    "give a greater --budget",
)


@contextmanager
def working(
    division: Division,
    options: SweepOptions,
    digest: str,
    journal: Path | None = None,
    progress: Progress | None = None,
) -> Iterator[Workers]:
    """Yield workers that keep what they finish in a journal, and go on from what it holds.

    Parameters
    ----------
    division : Division
    options : SweepOptions
    digest : str
        Of the labelled features.
    journal : Path, optional
    progress : callable, optional
    """
    key = f"{digest} {division.key}"
    with kept_in(journal, key) as keep:
        yield Workers(division, options, read_journal(journal, key), keep, progress)


def warnings_teller() -> Callable[[Trial], None]:
    """Return what says the warnings of a training, each once however many trainings had it."""
    said: set[tuple[str, str]] = set()

    def tell(trial: Trial) -> None:
        head, _ = json.loads(trial.key)
        for words in trial.warnings:
            if (head, words) not in said:
                said.add((head, words))
                say(f"{head}: {words}")

    return tell
