"""Configurations of heads, proposed by Optuna from what the validation rows said of those before."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from classify.features.matrix import FeatureMatrix
from classify.heads.table import HEADS, head_named
from classify.selection.groups import attempt
from classify.selection.leaderboard import Result, ranked, result_of
from classify.selection.sweep import PLACES, Progress, SweepOptions, left_out, warnings_teller
from classify.selection.trials import Entry, Trial, kept_in, read_journal
from data.errors import HeadstartError, missing_extra, moved_keywords
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
) -> list[Result]:
    """Try configurations that a tree-structured Parzen estimator proposes, one after another.

    Each is trained on the training rows and judged on the validation rows, by ``options.choose_by``; the
    test rows are not read. Proposals depend on nothing but results and a fixed seed, so
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

    Returns
    -------
    list of Result
        The best first; each configuration once.

    Raises
    ------
    HeadstartError
        If Optuna is not installed, a head is unknown, there are no validation rows, or no head can
        learn from the training rows.
    """
    options = options or SweepOptions()
    trials, seeds = options.trials, options.seeds
    study, heads = _study(), checked_heads(heads)
    rows = (*features.training_rows(), *features.validation_rows())
    kept = read_journal(journal, features.labelled_digest)
    done = {place: trial for place, trial in kept.items() if place[1] < seeds}
    results: dict[str, Result] = {}
    tell, refusal = warnings_teller(), None
    progress = progress or (lambda done, total: None)
    with kept_in(journal, features.labelled_digest) as keep:
        for number in range(trials):
            progress(number, trials)
            proposal = study.ask()
            entry = _proposed(proposal, heads)
            refused = _train(entry, seeds, done, rows, keep, tell)
            if refused:
                refusal = left_out(refused)
            else:
                results[entry.key] = result_of(entry, done)
            study.tell(
                proposal, worth(results[entry.key], options.choose_by) if entry.key in results else _NOTHING
            )
    progress(trials, trials)
    if refusal and not results:
        raise refusal
    return ranked(list(results.values()), options.choose_by)


def worth(result: Result, choose_by: str) -> float:
    """Return what a search maximizes: less log loss, or the rows that are right.

    By accuracy a part of one row is taken off for the log loss, so that between heads that were trained
    equally often a lower one never outweighs a right row.
    """
    if choose_by == "log_loss":
        return 1 / (1 + result.log_loss)
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


def _train(
    entry: Entry,
    seeds: int,
    done: dict[tuple[str, int], Trial],
    rows: tuple[np.ndarray, ...],
    keep: Callable[[Trial], None],
    tell: Callable[[Trial], None],
) -> HeadstartError | None:
    """Train an entry with each seed that is not done yet; return why it cannot learn, where it cannot."""
    for seed in range(HEADS[entry.head].trainings(seeds)):
        place = entry.key, seed
        if place not in done:
            found = attempt([entry], seed, *rows)
            if isinstance(found, HeadstartError):
                return found
            done[place] = found[0]
            keep(found[0])
        tell(done[place])
    return None


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
