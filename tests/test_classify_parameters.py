"""One contract over the table of parameters: what is allowed is taken, all else refused before any work."""

import inspect
import itertools

import numpy as np
import pytest
from conftest import assert_four_parts
from small import drawn, drawn_features
from typer.testing import CliRunner

from classify.benchmark.arms import Comparison
from classify.cli import app
from classify.finetuning.options import TrainingOptions
from classify.frontier.grid import Request
from classify.heads.entry import imported
from classify.heads.fit import fit_head
from classify.heads.parameters import BENCHMARK, FRONTIER, SWEEP, TRAINING
from classify.heads.table import HEADS, make_head
from classify.selection.options import SweepOptions
from classify.selection.search import search
from classify.selection.sweep import sweep, sweep_and_save
from classify.selection.trials import Entry, entries
from data.allowed import value_text
from data.errors import UsageError

NO_NUMBER = (np.nan, np.inf, True, "abc", {}, 1j)
NOT_WHOLE = (*NO_NUMBER, -5, 1.5, 1e30, 10**30)
POSITIVE = (*NO_NUMBER, 0, -0.1, 1e30, 1e-320)
NO_WEIGHTS = ("foo", 3, {}, {0: -1}, {0: np.nan}, ["balanced"])
BAD = {
    "C": (*POSITIVE, None),
    "tol": POSITIVE,
    "alphas": (*POSITIVE, None, (), (1.0, -1), (1, "2"), (np.nan,), (np.inf,)),
    "shrink_threshold": POSITIVE,
    "learning_rate": (*POSITIVE, None, 11),
    "l2": (*NO_NUMBER, -1, 1e30, None),
    "dropout": (*NO_NUMBER, -0.1, 1, 1.5, None),
    "shrinkage": (*NO_NUMBER, -0.1, 1.5),
    "k": (*NOT_WHOLE, 0, None),
    "max_iter": (*NOT_WHOLE, 0, None),
    "epochs": (*NOT_WHOLE, 0, None),
    "batch_size": (*NOT_WHOLE, 0, None),
    "patience": (*NOT_WHOLE, 0),
    "max_leaf_nodes": (*NOT_WHOLE, 1),
    "seed": (*NOT_WHOLE, -1, 2**32, None),
    "hidden": (*NOT_WHOLE, 0, None, (64, 0), (64, 1.5), (2**17,), "64"),
    "metric": ("manhattan", 1, None, True),
    "standardize": ("false", 1, None, np.nan),
    "class_weight": NO_WEIGHTS,
    "build": ("abc", 1),
    "callbacks": ("abc", None, (1,)),
    "rows": (*NOT_WHOLE, 0),
    "augment": ("no", 1, None),
    "budget": (*NO_NUMBER, -1, 1e30),
    "target": (*NO_NUMBER, -0.1, 1.5),
    "seeds": (*NOT_WHOLE, 0, None),
    "trials": (*NOT_WHOLE, 0, None),
    "jobs": (*NOT_WHOLE, 0, -2, None),
    "choose_by": ("f1", "", None, 1),
    "cv": (*NOT_WHOLE, 1, -1),
    "exhaustive": ("no", 1, None),
    "sizes": (*NOT_WHOLE, 0, None, (150, 0)),
    "images_per_second": POSITIVE,
    "threads": (*NOT_WHOLE, 0),
    "stretch": (*POSITIVE, None),  # of `added_head`
}
PARAMETERS = {name: entry.parameters for name, entry in HEADS.items()}
# Heads whose class takes the parameters as they are, and so checks them again when it is fitted.
ESTIMATORS = {name: imported(entry.make) for name, entry in HEADS.items() if isinstance(entry.make, str)}


def bad_values(tables: dict):
    """List each bad value of each parameter of some tables."""
    places = [(table, name, bad) for table, names in tables.items() for name in names for bad in BAD[name]]
    return pytest.mark.parametrize(("table", "name", "bad"), places, ids=str)


def refusal(call, name: str) -> str:
    """Return the first line of what a call is refused with."""
    with pytest.raises(UsageError) as caught:
        call()
    assert_four_parts(str(caught.value))
    first = str(caught.value).splitlines()[0]
    assert first.startswith(f"{name} must be ")
    return first


@pytest.mark.parametrize("head", HEADS)
def test_the_table_is_of_the_heads_and_of_their_arguments(head):
    if head in ESTIMATORS:
        assert set(PARAMETERS[head]) == set(ESTIMATORS[head]().get_params())
        HEADS[head].check(ESTIMATORS[head]().get_params())  # the defaults
        return
    own = inspect.signature(HEADS[head].make).parameters
    listed = {name: one.default for name, one in own.items() if one.kind is not one.VAR_KEYWORD}
    assert list(PARAMETERS[head])[: len(listed)] == list(listed)
    assert len(listed) == len(PARAMETERS[head]) or len(listed) < len(own)
    HEADS[head].check(listed)


def test_defaults_are_allowed():
    TrainingOptions(), Comparison(), Request()


@pytest.mark.parametrize("head", HEADS)
def test_grids_and_the_ends_of_search_spaces_are_allowed(head):
    entry = HEADS[head]
    assert entries([head])  # each is checked as it is made
    for name, (kind, *values) in entry.space.items():
        for value in values:
            entry.check({name: value})
        assert kind == "one of" or len(values) == 2
    assert set(entry.grid) <= set(entry.parameters)


@bad_values(PARAMETERS)
def test_a_bad_value_is_refused_before_there_is_a_head(table, name, bad):
    said = refusal(lambda: make_head(table, **{name: bad}), name)
    assert said.endswith(f"; got {value_text(bad)}")
    assert refusal(lambda: HEADS[table](**{name: bad}), name) == said
    assert refusal(lambda: Entry(table, {name: bad}), name) == said


@bad_values({head: PARAMETERS[head] for head in ESTIMATORS})
def test_a_bad_value_is_refused_by_fit(table, name, bad):
    head = ESTIMATORS[table](**{name: bad})  # scikit-learn's way: it is stored, and refused later
    refusal(lambda: head.fit(*drawn()), name)
    assert not hasattr(head, "classes_")


@bad_values(PARAMETERS)
def test_a_bad_value_is_usage_for_train_and_leaves_nothing(table, name, bad, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = [
        "train",
        "missing.h5",
        "--head",
        table,
        "--param",
        f"{name}={bad!r}",
    ]  # the file is not even read
    done = CliRunner().invoke(app, words)
    assert (done.exit_code, done.stdout) == (2, "")
    assert_four_parts(done.stderr)
    assert done.stderr.startswith(f"error: {name} must be ")
    assert not list(tmp_path.iterdir())


@bad_values({"training": TRAINING})
def test_a_bad_value_is_refused_by_trainings_with_the_backbone(table, name, bad):
    refusal(lambda: TrainingOptions(**{name: bad}), name)


@bad_values({"benchmark": BENCHMARK})
def test_a_bad_value_is_refused_by_benchmarks(table, name, bad):
    refusal(lambda: Comparison(**{name: bad}), name)


@bad_values({"frontier": FRONTIER})
def test_a_bad_value_is_refused_by_frontiers(table, name, bad):
    refusal(lambda: Request(**{name: bad}), name)


@bad_values({"sweep": SWEEP})
def test_a_bad_value_is_refused_by_sweeps(table, name, bad):
    refusal(lambda: SweepOptions(**{name: bad}), name)


@pytest.mark.parametrize("function", [sweep, sweep_and_save, search])
def test_a_keyword_that_is_an_option_now_says_where_it_belongs(function):
    with pytest.raises(TypeError, match=r"SweepOptions\(seeds=...\)"):
        function(drawn_features(), entries(["ridge"]), seeds=2)


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["train", "x.h5", "--live", "x", "--param", "epochs=0"], "epochs"),
        (["train", "x.h5", "--live", "x", "--param", "augment=no"], "augment"),
        (["sweep", "x.h5", "--jobs", "0"], "jobs"),
        (["sweep", "x.h5", "--seeds", "0"], "seeds"),
        (["sweep", "x.h5", "--search", "optuna", "--trials", "0"], "trials"),
        (["finetune", "x", "x", "--learning-rate", "nan"], "learning_rate"),
        (["finetune", "x", "x", "--learning-rate", "1e30"], "learning_rate"),
        (["finetune", "x", "x", "--rows", "0"], "rows"),
        (["benchmark", "x", "--budget", "nan"], "budget"),
        (["benchmark", "x", "--target", "2"], "target"),
        (["frontier", "x", "--rows", "19"], "rows"),
        (["frontier", "x", "--budget", "0"], "budget"),
    ],
)
def test_options_are_refused_before_any_work(words, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, words)
    assert (done.exit_code, done.stdout) == (2, "")
    assert_four_parts(done.stderr)
    assert done.stderr.startswith(f"error: {name} must be ")
    assert not list(tmp_path.iterdir())


def test_the_words_are_the_users():
    for head, params, words in (
        ("knn", {"k": 0}, "k must be a whole number, 1 or more; got 0"),
        ("mlp", {"dropout": 1}, "dropout must be a number, 0 or more and below 1; got 1"),
        ("ridge", {"alphas": ()}, "alphas must be a number above 0, or a list of such; got ()"),
        ("logistic", {"C": 1e30}, "C must be auto or a number above 0 and at most 1000000000; got 1e+30"),
        ("logistic", {"C": 1e-320}, "C must be auto or a number, 1e-09 or more; got 1e-320"),
        ("mlp", {"patience": -1}, "patience must be None or a whole number, 1 or more; got -1"),
        (
            "lda",
            {"shrinkage": 2},
            "shrinkage must be auto or None or a number, 0 or more and at most 1; got 2",
        ),
    ):
        with pytest.raises(UsageError) as caught:
            make_head(head, **params)
        assert str(caught.value).splitlines()[0] == words


@pytest.mark.parametrize(
    ("head", "name", "one", "several"),
    [
        ("mlp", "hidden", 8, (8,)),
        ("mlp", "hidden", np.array([8, 4]), [8, 4]),
        ("ridge", "alphas", 1, [1.0]),
        ("ridge", "alphas", np.array([1, 9]), (1, 9)),
    ],
)
def test_one_number_is_a_sequence_of_one(head, name, one, several):
    X, y = drawn((0, 1, 2), noise=3)
    more = {"epochs": 2} if head == "mlp" else {}
    heads = [fit_head(make_head(head, **{name: value}, **more), X, y) for value in (one, several)]
    np.testing.assert_allclose(*(head.predict_proba(X) for head in heads), atol=1e-6)


def test_numbers_of_numpy_are_numbers():
    params = {"learning_rate": np.float32(0.1), "epochs": np.int64(2), "standardize": np.bool_(True)}
    assert len(fit_head(make_head("keras-linear", **params), *drawn()).history_) == 2


def test_a_grid_may_hold_one_value_or_the_seed():
    (one,) = entries(["knn"], {"knn": {"k": 3, "metric": "cosine"}})
    assert one.params == {"k": 3, "metric": "cosine"}
    seeds = entries(["linear-svm"], {"linear-svm": {"seed": (1, 2)}})
    assert [result.params for result in sweep(drawn_features(), seeds, SweepOptions(jobs=1))] in (
        [{"seed": 1}, {"seed": 2}],
        [{"seed": 2}, {"seed": 1}],
    )


def test_what_is_no_literal_is_text():
    done = CliRunner().invoke(app, ["train", "missing.h5", "--head", "knn", "--param", "k={[]: 1}"])
    assert done.exit_code == 2 and "k must be a whole number, 1 or more; got '{[]: 1}'" in done.stderr


def test_every_parameter_has_its_bad_values():
    tables = (*PARAMETERS.values(), TRAINING, BENCHMARK, FRONTIER, SWEEP)
    assert set(BAD) - set(itertools.chain(*tables)) <= {"stretch"}
