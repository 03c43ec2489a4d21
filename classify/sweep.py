"""Many heads over one matrix: they share work where they can, and validation rows alone choose."""

import csv
import io
import itertools
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from classify.evaluate import wilson
from classify.features import Features
from classify.heads import fit_head, head_parameters, make_head
from data.console import prepare_logging
from data.errors import HeadstartError, unknown_name

# Simplest first, in the table and in each grid: the one-standard-error rule takes the first good one.
GRIDS: dict[str, dict[str, tuple]] = {
    "centroid": {},
    "ridge": {},
    "lda": {},
    "logistic": {"C": (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)},
    "linear-svm": {"C": (1e-5, 1e-4, 1e-3, 1e-2)},
    "keras-linear": {
        "dropout": (0.2, 0.5),
        "l2": (1e-2, 1e-3, 0.0),
        "learning_rate": (1e-4, 3e-4, 1e-3, 3e-3),
    },
    "knn": {"metric": ("cosine", "euclidean"), "k": (20, 10, 5, 1)},
    "mlp": {"hidden": ((64,), (256,)), "dropout": (0.5, 0.2)},
    "boosting": {},
}


@dataclass(frozen=True)
class Entry:
    """One configuration.

    Attributes
    ----------
    head : str
    params : dict
    """

    head: str
    params: dict

    @property
    def key(self) -> str:
        """Canonical JSON."""
        return json.dumps([self.head, self.params], sort_keys=True)


@dataclass(frozen=True)
class Result:
    """What a configuration reached on the validation rows.

    Attributes
    ----------
    head : str
    params : dict
    accuracy : dict of str to float
        ``value``, ``low``, ``high``: of the first seed, with Wilson's 95 % interval.
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
    accuracy: dict
    log_loss: float
    accuracies: list[float]
    mean: float
    deviation: float
    seconds: float


@dataclass(frozen=True)
class _Trained:
    """One configuration with one seed, as the journal keeps it."""

    key: str
    seed: int
    right: int
    rows: int
    log_loss: float
    seconds: float


def entries(heads: Sequence[str] | None = None, grids: dict | None = None) -> list[Entry]:
    """List the configurations of a sweep, the simplest first.

    Parameters
    ----------
    heads : sequence of str, optional
        By default the whole table.
    grids : dict, optional
        Values of each parameter by head; by default `GRIDS`.

    Examples
    --------
    >>> [entry.params for entry in entries(["linear-svm"])][:2]
    [{'C': 1e-05}, {'C': 0.0001}]
    """
    grids = grids or GRIDS
    for name in heads or ():
        if name not in grids:
            raise unknown_name("head", name, grids)
    return [
        Entry(name, dict(zip(grid, values, strict=True)))
        for name, grid in grids.items()
        if heads is None or name in heads
        for values in itertools.product(*grid.values())
    ]


def sweep(
    features: Features,
    chosen: Sequence[Entry],
    *,
    seeds: int = 1,
    journal: Path | None = None,
    jobs: int = -1,
    progress: Callable[[int, int], None] | None = None,
) -> list[Result]:
    """Train configurations on the training rows and judge them on the validation rows.

    The test rows are not read.

    Parameters
    ----------
    features : Features
    chosen : sequence of Entry
    seeds : int
        Trainings of each configuration whose head depends on a seed.
    journal : Path, optional
        Takes each finished training as a line; what it holds already is not trained again.
    jobs : int
        Processes; they share the matrix through a memory map.
    progress : callable, optional
        Called with the trainings done and in all.

    Returns
    -------
    list of Result
        The best first: by mean accuracy, then by log loss.

    Raises
    ------
    HeadstartError
        If there are no validation rows, or a head cannot learn from the training rows.
    """
    X, y = features.training_rows()
    X_val, y_val = features.split("validation")
    if not len(y_val):
        raise HeadstartError(
            f"{features.path!r} has no labelled validation rows to choose by",
            "training and validation rows",
            f"{len(y)} training rows, no validation rows",
            "extract more images, or name a validation split",
        )
    wanted = {entry.key for entry in chosen}
    kept = _read_journal(journal, features.content_digest)
    done = {place: trained for place, trained in kept.items() if place[0] in wanted and place[1] < seeds}
    tasks = list(_tasks(chosen, seeds, done))
    total, progress = sum(len(task[1]) for task in tasks) + len(done), progress or (lambda done, total: None)
    progress(len(done), total)
    with _journal(journal, features.content_digest) as keep:
        for finished in _run(tasks, X, y, X_val, y_val, jobs):
            for trained in finished:
                done[trained.key, trained.seed] = trained
                keep(trained)
            progress(len(done), total)
    return _ranked([_result(entry, done) for entry in chosen])


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
    """

    results: list[Result]
    winner: Result
    bundle: str
    test: dict | None
    seconds: float

    def to_dict(self) -> dict:
        """Return the outcome as JSON-ready values."""
        values = asdict(self)
        return {"leaderboard": values.pop("results"), **values}


def sweep_and_save(
    features: Features, chosen: Sequence[Entry], folder: Path, *, simplest: bool = False, **how
) -> Outcome:
    """Sweep, train the winner once more, save it, and judge it alone on the test rows.

    What is finished is kept in ``<folder>.sweep.jsonl`` until the end, so that an interrupted
    sweep goes on where it was.

    Parameters
    ----------
    features, chosen, **how
        As `sweep` takes them.
    folder : Path
        For the bundle.
    simplest : bool
        Choose by the one-standard-error rule.
    """
    from classify.bundle import Bundle

    started = time.perf_counter()
    journal = folder.with_name(folder.name + ".sweep.jsonl")
    results = sweep(features, chosen, journal=journal, **how)
    winner = choose(results, simplest)
    head = fit_head(make_head(winner.head, **winner.params), *features.training_rows())
    bundle = Bundle.of(head, features, winner.head).save(folder)
    test = bundle.evaluate(features, "test") if len(features.rows("test")) else None
    journal.unlink(missing_ok=True)
    return Outcome(results, winner, str(folder), test, round(time.perf_counter() - started, 3))


def choose(results: Sequence[Result], one_standard_error: bool = False) -> Result:
    """Return the best result, or the simplest one within a standard error of it.

    Source of the rule: L. Breiman, J. Friedman, R. Olshen, C. Stone (1984), Classification and
    regression trees. The standard error is that of the best one's accuracy on the validation
    rows.

    Parameters
    ----------
    results : sequence of Result
        The best first.
    one_standard_error : bool
    """
    if not one_standard_error:
        return results[0]
    best = results[0]
    error = (best.mean * (1 - best.mean) / best.accuracy["rows"]) ** 0.5
    order = {entry.key: number for number, entry in enumerate(entries())}
    good = [result for result in results if result.mean >= best.mean - error]
    return min(good, key=lambda result: order.get(Entry(result.head, result.params).key, len(order)))


def leaderboard_csv(results: Sequence[Result]) -> str:
    """Lay out results as CSV."""
    text = io.StringIO()
    names = ["rank", "head", "params", "mean", "deviation", "low", "high", "log_loss", "seconds"]
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    for rank, result in enumerate(results, 1):
        low, high = (result.accuracy[name] for name in ("low", "high"))
        params = json.dumps(result.params, sort_keys=True)
        row = [result.mean, result.deviation, low, high, result.log_loss, result.seconds]
        writer.writerow([rank, result.head, params, *(round(value, 6) for value in row)])
    return text.getvalue()


def _tasks(chosen: Sequence[Entry], seeds: int, done: dict) -> Iterator[tuple[Callable, list[Entry], int]]:
    """Group the configurations that train together; what the journal holds is left out."""
    groups: dict[tuple, list[Entry]] = {}
    for number, entry in enumerate(chosen):
        shared = {"logistic": (), "keras-linear": (entry.params.get("dropout"),)}.get(entry.head, (number,))
        groups.setdefault((entry.head, *shared), []).append(entry)
    for (head, *_), members in groups.items():
        for seed in range(seeds if "seed" in head_parameters(head) else 1):
            missing = [entry for entry in members if (entry.key, seed) not in done]
            if missing:
                yield _TOGETHER.get(head, _train_alone), missing, seed


def _run(tasks, X, y, X_val, y_val, jobs: int) -> Iterator[list[_Trained]]:
    from joblib import Parallel, delayed

    work = (delayed(_train)(train, members, seed, X, y, X_val, y_val) for train, members, seed in tasks)
    yield from Parallel(jobs, return_as="generator_unordered")(work)


def _train(train: Callable, members: list[Entry], seed: int, X, y, X_val, y_val) -> list[_Trained]:
    prepare_logging()  # this may be a process of its own
    started = time.perf_counter()
    probas = list(train(members, seed, X, y, X_val, y_val))
    share = (time.perf_counter() - started) / len(members)
    return [
        _judged(entry, seed, proba, classes, y_val, share)
        for entry, (proba, classes) in zip(members, probas, strict=True)
    ]


def _judged(entry: Entry, seed: int, proba, classes, y_val, seconds: float) -> _Trained:
    """Judge one training; classes that training never saw have probability 0."""
    everything = np.zeros((len(y_val), max(classes.max(), y_val.max()) + 1))
    everything[:, classes] = proba
    shares = everything[np.arange(len(y_val)), y_val]
    right = int((classes[proba.argmax(axis=1)] == y_val).sum())
    loss = float(-np.log(np.clip(shares, 1e-15, None)).mean())
    return _Trained(entry.key, seed, right, len(y_val), loss, seconds)


def _train_alone(members: list[Entry], seed: int, X, y, X_val, y_val) -> Iterator:
    for entry in members:
        seeded = {"seed": seed} if "seed" in head_parameters(entry.head) else {}
        head = fit_head(make_head(entry.head, **entry.params, **seeded), X, y)
        yield head.predict_proba(X_val), head.classes_


def _train_linear_together(members: list[Entry], seed: int, X, y, X_val, y_val) -> Iterator:
    """Train linear Keras heads of one dropout rate in one pass an epoch."""
    from classify.linear import Setting, probabilities, train_linear

    classes, targets = np.unique(y, return_inverse=True)
    settings = [
        Setting(**{name: value for name, value in entry.params.items() if name != "dropout"})
        for entry in members
    ]
    dropout = {"dropout": members[0].params["dropout"]} if "dropout" in members[0].params else {}
    units = len(classes) if len(classes) > 2 else 1
    *_, last = train_linear(np.asarray(X, np.float32), targets, units, settings, seed=seed, **dropout)
    for kernel, bias in zip(last.kernels, last.biases, strict=True):
        yield probabilities(X_val @ kernel + bias), classes


def _train_logistic_path(members: list[Entry], seed: int, X, y, X_val, y_val) -> Iterator:
    """Train logistic regressions from the strongest penalty on, each from the one before."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(X)
    seen, unseen = scaler.transform(X), scaler.transform(X_val)
    model = LogisticRegression(max_iter=1000, warm_start=True)
    found = {}
    for C in sorted({entry.params["C"] for entry in members}):
        found[C] = model.set_params(C=C).fit(seen, y).predict_proba(unseen)
    for entry in members:
        yield found[entry.params["C"]], model.classes_


_TOGETHER = {"keras-linear": _train_linear_together, "logistic": _train_logistic_path}


def _result(entry: Entry, done: dict) -> Result:
    trained = [one for (key, _), one in sorted(done.items()) if key == entry.key]
    accuracies = [one.right / one.rows for one in trained]
    return Result(
        head=entry.head,
        params=entry.params,
        accuracy={**wilson(trained[0].right, trained[0].rows), "rows": trained[0].rows},
        log_loss=float(np.mean([one.log_loss for one in trained])),
        accuracies=accuracies,
        mean=float(np.mean(accuracies)),
        deviation=float(np.std(accuracies, ddof=1)) if len(accuracies) > 1 else 0.0,
        seconds=sum(one.seconds for one in trained),
    )


def _ranked(results: list[Result]) -> list[Result]:
    return sorted(results, key=lambda result: (-result.mean, result.log_loss))


def _read_journal(path: Path | None, digest: str) -> dict[tuple[str, int], _Trained]:
    """Return what an interrupted sweep of the same features finished; a torn last line counts as none."""
    done = {}
    for line in path.read_text().splitlines() if path and path.is_file() else ():
        try:
            values = json.loads(line)
        except ValueError:
            continue
        if values.pop("features") == digest:
            trained = _Trained(**values)
            done[trained.key, trained.seed] = trained
    return done


@contextmanager
def _journal(path: Path | None, digest: str) -> Iterator[Callable[[_Trained], None]]:
    """Yield what appends a finished training to the journal."""
    if path is None:
        yield lambda trained: None
        return
    torn = path.is_file() and not path.read_text().endswith("\n")
    with open(path, "a") as file:
        file.write("\n" if torn else "")

        def keep(trained: _Trained) -> None:
            file.write(json.dumps({"features": digest, **asdict(trained)}) + "\n")
            file.flush()

        yield keep
