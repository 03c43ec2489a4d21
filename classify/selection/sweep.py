"""Many heads over one matrix: they share work where they can, and validation rows alone choose."""

import json
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from classify.features.matrix import FeatureMatrix
from classify.heads.fit import fit_head
from classify.heads.parameters import SWEEP
from classify.heads.table import HEADS, make_head
from classify.selection.groups import attempt, group_of
from classify.selection.leaderboard import Outcome, Result, choose, ranked, result_of
from classify.selection.trials import Entry, Trial, kept_in, read_journal
from data.allowed import check_values
from data.console import say
from data.errors import HeadstartError, moved_keywords
from data.output.atomic import target_of
from data.output.checks import check_file
from data.output.disk import writing


@dataclass(frozen=True)
class SweepOptions:
    """How heads are tried, by `sweep` or by `classify.selection.search.search`.

    Attributes
    ----------
    seeds : int
        Trainings of each configuration whose head depends on a seed.
    jobs : int
        Processes of a sweep, -1: one for each core; they share the matrix through a memory map.
    trials : int
        Proposals of a search, of all heads together. One that comes again is not trained again.
    choose_by : str
        ``log_loss`` or ``accuracy`` of the validation rows; the other one decides between equals.
    simplest : bool
        Whether `sweep_and_save` chooses by the one-standard-error rule, which a sweep allows alone.

    Raises
    ------
    UsageError
        If a value is not allowed.

    Examples
    --------
    >>> SweepOptions(seeds=3).jobs
    -1
    """

    seeds: int = 1
    jobs: int = -1
    trials: int = 50
    choose_by: str = "log_loss"
    simplest: bool = False

    def __post_init__(self) -> None:
        check_values(vars(self), SWEEP)


Progress = Callable[[int, int], None]  # of trainings done and in all
PLACES = {each.name: f"SweepOptions({each.name}=...)" for each in fields(SweepOptions)}


@moved_keywords(PLACES)
def sweep(
    features: FeatureMatrix,
    chosen: Sequence[Entry],
    options: SweepOptions | None = None,
    *,
    journal: Path | None = None,
    progress: Progress | None = None,
) -> list[Result]:
    """Train configurations on the training rows and judge them on the validation rows.

    The test rows are not read. What a head warns of is said once, in one line.

    Parameters
    ----------
    features : FeatureMatrix
    chosen : sequence of Entry
    options : SweepOptions, optional
    journal : Path, optional
        Takes each finished training as a line; what it holds already is not trained again.
    progress : callable, optional
        Called with the trainings done and in all.

    Returns
    -------
    list of Result
        The best first, by ``options.choose_by``.

    Raises
    ------
    HeadstartError
        If there are no validation rows, or no head can learn from the training rows; one that
        cannot is left out, and that is said.
    """
    options = options or SweepOptions()
    rows = (*features.training_rows(), *features.validation_rows())
    wanted = {entry.key for entry in chosen}
    kept = read_journal(journal, features.labelled_digest)
    done = {place: trial for place, trial in kept.items() if place[0] in wanted and place[1] < options.seeds}
    tasks = list(_tasks(chosen, options.seeds, done))
    total = sum(len(members) for members, _ in tasks) + len(done)
    progress = progress or (lambda done, total: None)
    progress(len(done), total)
    tell, refusal = warnings_teller(), None
    with kept_in(journal, features.labelled_digest) as keep:
        for finished in _run(tasks, rows, options.jobs):
            if isinstance(finished, HeadstartError):
                refusal = left_out(finished)
                continue
            for trial in finished:
                done[trial.key, trial.seed] = trial
                keep(trial)
                tell(trial)
            progress(len(done), total)
    if refusal and not done:
        raise refusal
    found = [result_of(entry, done) for entry in chosen if (entry.key, 0) in done]
    return ranked(found, options.choose_by)


class Find(Protocol):
    """What tries heads: `sweep` its entries, `classify.selection.search.search` heads by name."""

    def __call__(
        self,
        features: FeatureMatrix,
        chosen: Sequence[Any],
        options: SweepOptions,
        /,
        *,
        journal: Path,
        progress: Progress | None,
    ) -> list[Result]:
        """Return results, the best first."""


@moved_keywords(PLACES)
def sweep_and_save(
    features: FeatureMatrix,
    chosen: Sequence[Any],
    folder: Path,
    options: SweepOptions | None = None,
    *,
    find: Find = sweep,
    progress: Progress | None = None,
) -> Outcome:
    """Sweep, train the winner once more, save it, and judge it alone on the test rows.

    What is finished is kept in ``<folder>.sweep.jsonl`` until the end, so that an interrupted
    sweep goes on where it was.

    Parameters
    ----------
    features : FeatureMatrix
    chosen : sequence
        As `find` takes it; by the one-standard-error rule entries, the simplest first.
    folder : Path
        For the bundle.
    options : SweepOptions, optional
    find : callable
        `sweep`, or `classify.selection.search.search`.
    progress : callable, optional
        As `sweep` takes it.
    """
    from classify.bundle.bundle import Bundle
    from classify.scores.judging import lone_answer

    started, options = time.perf_counter(), options or SweepOptions()
    features.refuse_seen("test", features.training_images())
    journal = journal_of(folder)
    goes_on = "or choose another -o; the same command goes on from what is finished"
    try:
        with writing(journal, goes_on):
            journal.parent.mkdir(parents=True, exist_ok=True)
            results = find(features, chosen, options, journal=journal, progress=progress)
    except KeyboardInterrupt:
        kept = f"what is finished is kept in {journal}: the same command goes on from there"
        nothing = "nothing was finished yet: the same command starts again"
        raise KeyboardInterrupt(f"interrupted; {kept if journal.exists() else nothing}") from None
    winner = choose(results, chosen if options.simplest else None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # said when the head was tried
        head = fit_head(
            make_head(winner.head, **winner.params), *features.training_rows(), *features.split("validation")
        )
    bundle = Bundle.of(head, features, winner.head).save(folder)
    test = bundle.evaluate(features, "test") if len(features.rows("test")) else None
    journal.unlink(missing_ok=True)
    seconds = round(time.perf_counter() - started, 3)
    return Outcome(results, winner, str(folder), test, seconds, lone_answer(bundle.scores))


def journal_of(folder: Path) -> Path:
    """Return where a sweep for the bundle `folder` keeps what is finished.

    Raises
    ------
    HeadstartError
        If a file of another origin has that name.
    """
    journal = target_of(folder).with_name(f"{target_of(folder).name}.sweep.jsonl")
    check_file(journal, "journal of a sweep")
    return journal


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


def _tasks(
    chosen: Sequence[Entry], seeds: int, done: Mapping[tuple[str, int], Trial]
) -> Iterator[tuple[list[Entry], int]]:
    """Group the configurations that train together; what the journal holds is left out."""
    groups: dict[tuple[str, ...], list[Entry]] = {}
    for entry in chosen:
        groups.setdefault(group_of(entry), []).append(entry)
    for members in groups.values():
        for seed in range(HEADS[members[0].head].trainings(seeds)):
            missing = [entry for entry in members if (entry.key, seed) not in done]
            if missing:
                yield missing, seed


def left_out(error: HeadstartError) -> HeadstartError:
    """Say that a head is left out, and why; return the error."""
    say(f"left out: {error.happened}: {error.received}")
    return error


def _run(
    tasks: Sequence[tuple[list[Entry], int]], rows: tuple[np.ndarray, ...], jobs: int
) -> Iterator[list[Trial] | HeadstartError]:
    from joblib import Parallel, delayed

    work = (delayed(attempt)(members, seed, *rows) for members, seed in tasks)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "A worker stopped while some jobs")  # it is replaced
        yield from Parallel(jobs, return_as="generator_unordered")(work)
