"""Many heads over the same rows: they share work where they can, and test rows choose nothing."""

import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from classify.features.matrix import FeatureMatrix
from classify.heads.fit import fit_head
from classify.heads.table import make_head
from classify.scores.cross_validation import cross_validate
from classify.scores.temperature import Calibration
from classify.selection.division import Division, division_of
from classify.selection.leaderboard import Leaderboard, Outcome, Result
from classify.selection.options import PLACES, SweepOptions
from classify.selection.plan import Plan, everything, plan_of
from classify.selection.trials import Entry
from classify.selection.workers import Progress, working
from data.console import say
from data.errors import moved_keywords
from data.output.atomic import target_of
from data.output.checks import check_file
from data.output.disk import writing
from data.output.lock import locked

if TYPE_CHECKING:
    from classify.bundle.bundle import Bundle


@moved_keywords(PLACES)
def sweep(
    features: FeatureMatrix,
    chosen: Sequence[Entry],
    options: SweepOptions | None = None,
    *,
    journal: Path | None = None,
    progress: Progress | None = None,
    division: Division | None = None,
) -> Leaderboard:
    """Train configurations and judge them by rows that they did not learn from.

    Cheap heads learn all rows. Where dear ones would take long, by a table of costs and never by the
    clock, they learn a part of the rows first, and the best of them all: `classify.selection.plan`. The
    test rows are not read. What a head warns of is said once, in one line.

    Parameters
    ----------
    features : FeatureMatrix
    chosen : sequence of Entry
    options : SweepOptions, optional
    journal : Path, optional
        Takes each finished training as a line; what it holds already is not trained again.
    progress : callable, optional
        Called with the trainings done and in all.
    division : Division, optional
        The rows; by default as the options say.

    Returns
    -------
    Leaderboard
        The best first, by ``options.choose_by``.

    Raises
    ------
    HeadstartError
        If no rows can judge, or no head can learn from the training rows; one that cannot is left out,
        and that is said.
    """
    options = options or SweepOptions()
    division = division or division_of(features, options.cv)
    plan = everything(chosen) if options.exhaustive else _planned(chosen, division, options)
    with working(division, options, features.labelled_digest, journal, progress) as workers:
        return workers.carry_out(plan)


def _planned(chosen: Sequence[Entry], division: Division, options: SweepOptions) -> Plan:
    from joblib import effective_n_jobs

    seconds = None if options.budget is None else 60 * options.budget * effective_n_jobs(options.jobs)
    return plan_of(chosen, division.sizes(), len(division.parts), seconds)


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
        division: Division,
    ) -> Leaderboard:
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
    """Sweep, train the winner once more on the training rows, save it, and judge it alone on the test rows.

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
    from classify.scores.judging import lone_answer

    started, options = time.perf_counter(), options or SweepOptions()
    features.refuse_seen("test", features.training_images())
    division, journal = division_of(features, options.cv), journal_of(folder)
    goes_on = "or choose another -o; the same command goes on from what is finished"
    with writing(journal, goes_on), locked(journal, say=say):
        try:
            results = find(features, chosen, options, journal=journal, progress=progress, division=division)
        except KeyboardInterrupt:
            kept = f"what is finished is kept in {journal}: the same command goes on from there"
            nothing = "nothing was finished yet: the same command starts again"
            raise KeyboardInterrupt(f"interrupted; {kept if journal.exists() else nothing}") from None
        winner = results.choose(chosen if options.simplest else None)
        bundle = _winning(winner, features, division).save(folder)
        journal.unlink(missing_ok=True)
    test = bundle.evaluate(features, "test") if len(features.rows("test")) else None
    seconds = round(time.perf_counter() - started, 3)
    calibration = bundle.provenance.get("calibration")
    return Outcome(results, winner, str(folder), test, seconds, lone_answer(bundle.scores), calibration)


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


def _calibration(winner: Result, features: FeatureMatrix, division: Division) -> Calibration | None:
    """Fit a temperature to the rows of all folds, where folds judge; else that is left to `Bundle.of`."""
    if not division.folds:
        return None
    validated = cross_validate(make_head(winner.head, **winner.params), features, division.folds)
    return Calibration.of(validated.proba, validated.y, f"rows by {division.folds} folds")


def _winning(winner: Result, features: FeatureMatrix, division: Division) -> "Bundle":
    """Train the winner on the training rows as the sweep did; by folds, validation rows choose nothing."""
    from classify.bundle.bundle import Bundle

    X, y = features.training_rows()
    groups = features.groups_of(features.rows("train"))
    X_val, y_val = (None, None) if division.folds else features.split("validation")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # said when the head was tried
        head = fit_head(make_head(winner.head, **winner.params), X, y, X_val, y_val, groups)
    return Bundle.of(head, features, winner.head, calibrate=_calibration(winner, features, division))
