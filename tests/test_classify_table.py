"""The table of heads: every entry can be loaded, and a head is added by one entry and its module."""

import json
import re
import subprocess
import sys
from importlib import import_module

import numpy as np
import pytest
from conftest import ROOT
from sklearn.pipeline import Pipeline
from small import drawn, quick
from typer.testing import CliRunner

from classify.cli import app
from classify.heads.dense_layer import fold
from classify.heads.entry import imported
from classify.heads.table import HEADS
from classify.selection.division import Part
from classify.selection.groups import group_of, train_together
from classify.selection.trials import Entry
from data import HeadstartError

GENERIC = ("heads", "parameters", "search", "bundle", "table", "transplant")  # suites over the table
each_head = pytest.mark.parametrize("name", HEADS)


@each_head
def test_what_an_entry_names_is_there(name):
    entry = HEADS[name]
    assert entry.name == name
    named = [entry.make] if isinstance(entry.make, str) else []
    named += [entry.sharing.train] if entry.sharing else []
    named += [entry.streaming.fit, entry.streaming.memory] if entry.streaming else []
    assert all(callable(imported(reference)) for reference in named)
    for kind in entry.trusted:
        module, _, name = kind.rpartition(".")
        assert isinstance(getattr(import_module(module), name), type)


@each_head
def test_an_entry_says_whether_its_head_becomes_layers(name):
    head = quick(name).fit(*drawn())
    if hasattr(head, "model_"):
        assert HEADS[name].becomes_layers
        return
    try:
        fold(head)
    except HeadstartError as error:
        assert not HEADS[name].becomes_layers and name not in str(error)
    else:
        assert HEADS[name].becomes_layers


@each_head
def test_an_entry_trusts_the_types_of_its_own_head(name):
    head = quick(name)
    last = head[-1] if isinstance(head, Pipeline) else head
    if not type(last).__module__.startswith("sklearn."):
        assert f"{type(last).__module__}.{type(last).__name__}" in HEADS[name].trusted


@each_head
def test_what_configurations_share_are_parameters(name):
    sharing, (X, y) = HEADS[name].sharing, drawn()
    if sharing is None:
        return
    assert {*sharing.same, *sharing.free} <= set(HEADS[name].parameters)
    params = {one: values[0] for one, values in HEADS[name].grid.items()}
    pair = [Entry(name, params), Entry(name, params | {sharing.free[0]: 0.5})]
    assert group_of(pair[0]) == group_of(pair[1])
    rows = np.arange(len(y))
    assert len(train_together(pair, 0, 0, Part(X, y, rows, rows, (), stops=True))) == 2


@each_head
def test_every_command_takes_every_head(name, small_file, tmp_path):
    def run(*words) -> str:
        done = CliRunner().invoke(app, [str(word) for word in words])
        assert done.exit_code == 0, done.output
        return done.stdout

    bundle, best = tmp_path / "bundle", tmp_path / "best"
    told = " ".join(run("train", "--help").split()).replace("- ", "-")  # a name may break at its hyphen
    assert re.search(rf"\b{name}\b", told)
    trained = json.loads(run("train", small_file, "--head", name, "-o", bundle, "--json"))
    assert trained["head"] == name
    report = json.loads(run("evaluate", bundle, small_file, "--json"))
    assert report["accuracy"]["value"] > 0.5
    swept = json.loads(run("sweep", small_file, "--heads", name, "--jobs", 1, "-o", best, "--json"))
    assert {row["head"] for row in swept["leaderboard"]} == {name}
    if HEADS[name].becomes_layers:
        model = tmp_path / "model.keras"
        assert json.loads(run("export", bundle, "-o", model, "--json"))["largest_difference"] < 1e-4


@pytest.mark.skipif("nearest-means" in HEADS, reason="this is the run that it starts")
def test_a_head_is_added_by_one_entry_and_its_module(tmp_path):
    suites = [f"{ROOT}/tests/test_classify_{name}.py" for name in GENERIC]
    words = ["-m", "pytest", "-c", f"{ROOT}/pyproject.toml", "-q", "-p", "added_head", "-k", "nearest-means"]
    done = subprocess.run(
        [sys.executable, *words, *suites], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:]
    assert int(re.search(r"(\d+) passed", done.stdout)[1]) > 40
