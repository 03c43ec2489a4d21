"""Configurations of heads, proposed by Optuna from what the validation rows said of those before."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from classify.grids import Entry
from classify.heads import HEADS, head_named
from classify.journal import kept_in, read_journal
from classify.matrix import FeatureMatrix
from classify.parameters import SWEEP
from classify.sweep import Result, left_out, ranked, result_of, warnings_teller
from classify.together import attempt
from data.allowed import check_values
from data.errors import HeadstartError, missing_extra
from data.lists import as_list

_NOTHING = -1.0  # what a configuration that cannot learn is worth


def search(
    features: FeatureMatrix,
    heads: str | Sequence[str] | None = None,
    *,
    trials: int = 50,
    seeds: int = 1,
    journal: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Result]:
    """Try configurations that a tree-structured Parzen estimator proposes, one after another.

    Each is trained on the training rows and judged on the validation rows, by accuracy, then by log
    loss; the test rows are not read. Proposals depend on nothing but results and a fixed seed, so
    that with its journal an interrupted search goes on as if it had not been.

    Source: J. Bergstra, R. Bardenet, Y. Bengio, B. Kégl (2011), Algorithms for hyper-parameter
    optimization, as Optuna has it.

    Parameters
    ----------
    features : FeatureMatrix
    heads : str or sequence of str, optional
        Entries of `classify.heads.HEADS`; by default all.
    trials : int
        Proposals, of all heads together. One that comes again is not trained again.
    seeds : int
        Trainings of each configuration whose head depends on a seed.
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
    check_values({"seeds": seeds, "trials": trials}, SWEEP)
    study, heads = _study(), checked_heads(heads)
    rows = (*features.training_rows(), *features.validation_rows())
    kept = read_journal(journal, features.content_digest)
    done = {place: trained for place, trained in kept.items() if place[1] < seeds}
    results, tell, refusal = {}, warnings_teller(), None
    progress = progress or (lambda done, total: None)
    with kept_in(journal, features.content_digest) as keep:
        for number in range(trials):
            progress(number, trials)
            trial = study.ask()
            entry = _proposed(trial, heads)
            refused = _train(entry, seeds, done, rows, keep, tell)
            if refused:
                refusal = left_out(refused)
            else:
                results[entry.key] = result_of(entry, done)
            study.tell(trial, worth(results[entry.key]) if entry.key in results else _NOTHING)
    progress(trials, trials)
    if refusal and not results:
        raise refusal
    return ranked(list(results.values()))


def worth(result: Result) -> float:
    """Return what a search maximizes: the rows that are right, less a part of one row for the log loss.

    So between heads that were trained equally often a lower log loss never outweighs a right row.
    """
    right = round(sum(result.accuracies) * result.rows)
    return (right - 1 + 1 / (1 + result.log_loss)) / len(result.accuracies)


def checked_heads(heads: Sequence[str] | None) -> list[str]:
    """Return the heads to search, by default all, or raise with the nearest names."""
    heads = None if heads is None else as_list(heads)
    for name in heads or ():
        head_named(name)
    return [name for name in HEADS if heads is None or name in heads]


def _study():
    try:
        import optuna
    except ImportError as error:
        raise missing_extra("--search optuna needs Optuna", "search", str(error)) from error
    logging.getLogger("optuna").setLevel(logging.WARNING)
    sampler = optuna.samplers.TPESampler(seed=0)
    return optuna.create_study(direction="maximize", sampler=sampler)


def _train(entry: Entry, seeds: int, done: dict, rows: tuple, keep, tell) -> HeadstartError | None:
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


def _proposed(trial, heads: list[str]) -> Entry:
    """Return the configuration of a trial; its parameters have names of their own for each head."""
    head = trial.suggest_categorical("head", heads)
    params = {}
    for name, (kind, *values) in HEADS[head].space.items():
        params[name] = _SUGGEST[kind](trial, f"{head} {name}", values)
    return Entry(head, params)


_SUGGEST: dict[str, Callable] = {
    "log": lambda trial, name, ends: trial.suggest_float(name, *ends, log=True),
    "even": lambda trial, name, ends: trial.suggest_float(name, *ends),
    "whole": lambda trial, name, ends: trial.suggest_int(name, *ends),
    "one of": lambda trial, name, values: values[trial.suggest_categorical(name, range(len(values)))],
}
