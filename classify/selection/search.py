"""Configurations of heads, proposed by Optuna from what the validation rows said of those before."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from classify.features.matrix import FeatureMatrix
from classify.heads.table import HEADS, head_named
from classify.selection.division import Division, division_of
from classify.selection.leaderboard import Leaderboard, Result
from classify.selection.options import PLACES, SweepOptions
from classify.selection.trials import Entry
from classify.selection.workers import Progress, working
from data.errors import missing_extra, moved_keywords
from data.lists import as_list

if TYPE_CHECKING:  # an extra
    import optuna

_NOTHING = -1.0  # what a configuration that cannot learn is worth


@moved_keywords(PLACES)
def search(
    features: FeatureMatrix,
    heads: str | Sequence[str] | None = None,
    options: SweepOptions | None = None,
    *,
    journal: Path | None = None,
    progress: Progress | None = None,
    division: Division | None = None,
) -> Leaderboard:
    """Try configurations that a tree-structured Parzen estimator proposes, one after another.

    Each is judged by rows that it did not learn from, by ``options.choose_by``; the test rows are not
    read. Proposals depend on nothing but results and a fixed seed, so
    that with its journal an interrupted search goes on as if it had not been.

    Source: J. Bergstra, R. Bardenet, Y. Bengio, B. Kégl (2011), Algorithms for hyper-parameter
    optimization, as Optuna has it.

    Parameters
    ----------
    features : FeatureMatrix
    heads : str or sequence of str, optional
        Entries of `classify.heads.table.HEADS`; by default all.
    options : SweepOptions, optional
    journal : Path, optional
        Takes each finished training as a line; what it holds already is not trained again.
    progress : callable, optional
        Called with the trials done and in all.
    division : Division, optional
        The rows; by default as the options say.

    Returns
    -------
    Leaderboard
        The best first; each configuration once.

    Raises
    ------
    HeadstartError
        If Optuna is not installed, a head is unknown, no rows can judge, or no head can
        learn from the training rows.
    """
    options = options or SweepOptions()
    study, heads = _study(), checked_heads(heads)
    division = division or division_of(features, options.cv)
    results: dict[str, Result] = {}
    progress = progress or (lambda done, total: None)
    with working(division, options, features.labelled_digest, journal) as workers:
        for number in range(options.trials):
            progress(number, options.trials)
            proposal = study.ask()
            entry = _proposed(proposal, heads)
            result = workers.result(entry)
            if result is not None:
                results[entry.key] = result
            study.tell(proposal, _NOTHING if result is None else worth(result, options.choose_by))
        progress(options.trials, options.trials)
        return workers.ranked(list(results.values()))


def worth(result: Result, choose_by: str) -> float:
    """Return what a search maximizes: less log loss, or the rows that are right.

    By accuracy a part of one row is taken off for the log loss, so that between heads that were trained
    equally often a lower one never outweighs a right row.
    """
    if choose_by == "log_loss":
        return 1 / (1 + result.log_loss)
    if choose_by == "balanced_accuracy":
        return result.balanced_accuracy
    right = round(sum(result.accuracies) * result.rows)
    return (right - 1 + 1 / (1 + result.log_loss)) / len(result.accuracies)


def checked_heads(heads: str | Sequence[str] | None) -> list[str]:
    """Return the heads to search, by default all, or raise with the nearest names."""
    heads = None if heads is None else as_list(heads)
    for name in heads or ():
        head_named(name)
    return [name for name in HEADS if heads is None or name in heads]


def _study() -> "optuna.Study":
    try:
        import optuna
    except ImportError as error:
        raise missing_extra("--search optuna needs Optuna", "search", str(error)) from error
    logging.getLogger("optuna").setLevel(logging.WARNING)
    sampler = optuna.samplers.TPESampler(seed=0)
    return optuna.create_study(direction="maximize", sampler=sampler)


def _proposed(proposal: "optuna.Trial", heads: Sequence[str]) -> Entry:
    """Return the configuration of a proposal; its parameters have names of their own for each head."""
    head = proposal.suggest_categorical("head", heads)
    params: dict[str, object] = {}
    for name, (kind, *values) in HEADS[head].space.items():
        params[name] = _SUGGEST[kind](proposal, f"{head} {name}", values)
    return Entry(head, params)


_SUGGEST: dict[str, Callable[["optuna.Trial", str, list], object]] = {
    "log": lambda proposal, name, ends: proposal.suggest_float(name, *ends, log=True),
    "even": lambda proposal, name, ends: proposal.suggest_float(name, *ends),
    "whole": lambda proposal, name, ends: proposal.suggest_int(name, *ends),
    "one of": lambda proposal, name, values: values[proposal.suggest_categorical(name, range(len(values)))],
}
