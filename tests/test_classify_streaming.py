"""Heads that read their rows in blocks: equal to those in memory, within a bound of memory."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import assert_four_parts
from invoking import fail, invoke
from small import drawn_features, on_disk

from classify import Bundle, load_features
from classify.features.blocks import Blocks, least_memory, proba_of
from classify.heads.fit import fit_head
from classify.heads.memory import how_to_train, parse_memory
from classify.heads.streaming import fit_streaming
from classify.heads.table import HEADS, make_head
from data import HeadstartError
from extract import FeatureFile

MEMORY = 8 * 10**6
QUICK = {"keras-linear": {"epochs": 4}, "mlp": {"epochs": 4, "hidden": (8,), "batch_size": 256}}
WITHIN = {"logistic": 2e-4, "ridge": 1e-9, "centroid": 1e-4}


def overlapping(classes: int = 2, rows: int = 5000, order=None):
    """Draw classes that overlap, over features of other means and scales; one is constant."""
    features = drawn_features(rows, classes, 12)
    features.X[:] = (0.6 * features.X + 1) * np.linspace(0.1, 3, 12, dtype=np.float32)
    features.X[:, 7] = 0.3
    if order is not None:
        order = order(features.y)
        features.X[:], features.y[:] = features.X[order], features.y[order]
        features.splits[:] = np.random.default_rng(1).permutation(features.splits)
    return features


def both(name: str, features, folder: Path, **params):
    """Fit a head in memory and in blocks."""
    head = fit_head(make_head(name, **params), *features.training_rows(), *features.split("validation"))
    large = on_disk(features, folder)
    return head, fit_streaming(name, make_head(name, **params), large, MEMORY)


def opened(values: np.ndarray, folder: Path, memory: int = MEMORY, rows=None) -> Blocks:
    """Write a matrix and return some of its rows as blocks."""
    columns = on_disk(replace(drawn_features(5), X=values), folder).X
    rows = np.arange(len(values)) if rows is None else rows
    return Blocks(columns, rows, [f"{row}.png" for row in range(len(values))], memory)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("name", WITHIN)
def test_a_head_is_that_of_training_in_memory(name, classes, tmp_path):
    features = overlapping(classes)
    expected, found = both(name, features, tmp_path)
    X, _ = features.split("test")
    assert type(found) is type(expected)
    np.testing.assert_allclose(found.predict_proba(X), expected.predict_proba(X), atol=WITHIN[name])
    assert found.predict(X).tolist() == expected.predict(X).tolist()
    assert found.n_features_in_ == 12


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("logistic", {"C": 0.01, "class_weight": "balanced"}),
        ("centroid", {"shrink_threshold": 0.5}),
        ("ridge", {"standardize": False}),
    ],
)
def test_parameters_mean_what_they_mean_in_memory(name, params, tmp_path):
    features = overlapping(3)
    features.splits[(features.y == 1) & (np.arange(5000) % 4 > 0)] = 2  # a rare class
    expected, found = both(name, features, tmp_path, **params)
    plain, _ = both(name, features, tmp_path)
    X, _ = features.split("test")
    np.testing.assert_allclose(found.predict_proba(X), expected.predict_proba(X), atol=1e-4)
    assert abs(plain.predict_proba(X) - found.predict_proba(X)).max() > 1e-3


def test_coefficients_of_logistic_regression(tmp_path):
    expected, found = both("logistic", overlapping(3), tmp_path)
    np.testing.assert_allclose(found.coef_, expected.coef_, atol=1e-5)
    np.testing.assert_allclose(found.intercept_, expected.intercept_, atol=1e-5)
    assert (found.C_, found.chosen_by_) == (expected.C_, "validation rows")


@pytest.mark.parametrize("name", QUICK)
def test_keras_heads_learn_as_well_from_a_file_sorted_by_class(name, tmp_path):
    features = overlapping(3, 20_000, order=lambda y: np.argsort(y, kind="stable"))
    assert (np.diff(features.y) >= 0).all()
    expected, found = both(name, features, tmp_path, learning_rate=0.01, **QUICK[name])
    X, y = features.split("test")
    accuracies = [(head.predict(X) == y).mean() for head in (expected, found)]
    assert accuracies[1] > accuracies[0] - 0.01 > 0.8


def test_early_stopping_and_held_out_rows(tmp_path):
    features = overlapping()
    features.splits[:] = 0
    head = make_head("keras-linear", patience=2, epochs=5, standardize=True, class_weight="balanced")
    found = fit_streaming("keras-linear", head, on_disk(features, tmp_path), MEMORY)
    assert found.history_[0].keys() == {"loss", "val_loss"}
    assert (found.predict(features.X) == features.y).mean() > 0.8


def test_every_shuffled_block_holds_rows_from_all_over_a_sorted_file(tmp_path):
    values = np.repeat(np.arange(4, dtype=np.float32), 16_384)[:, np.newaxis] * np.ones(64, np.float32)
    blocks = opened(values, tmp_path, memory=4 * 4 * 2**20)  # four blocks of 64 extents
    generator = np.random.default_rng(0)
    orders = []
    for _ in range(2):
        seen = []
        for places, block in blocks.shuffled(generator):
            assert (block[:, 0] == values[places, 0]).all()
            shares = np.bincount(places // 16_384, minlength=4) / len(places)
            assert (abs(shares - 0.25) < 4 * 0.25 / 64**0.5).all()
            seen.append(places.copy())
        assert len(seen) == 4
        assert (np.sort(np.concatenate(seen)) == np.arange(65_536)).all()
        orders.append(np.concatenate(seen))
    assert (orders[0] != orders[1]).any()


@pytest.mark.parametrize("parts", [1, 3])
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_blocks_hold_the_rows_that_are_wanted_and_no_others(dtype, parts, tmp_path):
    values = np.random.default_rng(0).normal(size=(3000, 50)).astype(dtype)
    rows = np.flatnonzero(np.random.default_rng(1).random(3000) < 0.3)
    columns = on_disk(replace(drawn_features(5), X=values), tmp_path, parts).X
    blocks = Blocks(columns, rows, [], least_memory(50))
    places, found = zip(*((places, block.copy()) for places, block in blocks.in_order()), strict=True)
    assert np.concatenate(places).tolist() == list(range(len(rows)))
    assert np.array_equal(np.concatenate(found), values[rows].astype(np.float32))
    assert np.array_equal(columns[[5, 2999, 0]], values[[5, 2999, 0]].astype(np.float32))
    assert np.array_equal(columns.in_memory(), values)


def test_long_runs_of_other_rows_are_not_read(tmp_path, patch_ours):
    values = np.zeros((10_000, 64), np.float32)
    blocks = opened(values, tmp_path, rows=np.array([0, 1, 9_998]))
    read = []
    patch_ours(
        "classify.features.columns.Columns.read", lambda self, first, out: read.append((first, len(out)))
    )
    list(blocks.in_order())
    assert read == [(0, 2), (9_998, 1)]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_rows_with_nan_are_named(bad, tmp_path):
    features = overlapping()
    wrong = features.rows("train")[[3, 1500]]
    features.X[wrong, 5] = bad
    with pytest.raises(HeadstartError) as caught:
        fit_streaming("keras-linear", make_head("keras-linear"), on_disk(features, tmp_path), MEMORY)
    assert_four_parts(str(caught.value))
    assert features.ids[wrong[0]] in str(caught.value) or features.ids[wrong[1]] in str(caught.value)


def test_a_file_that_shrinks_is_an_error_of_the_user(tmp_path):
    blocks = opened(np.zeros((1000, 8), np.float32), tmp_path)
    with open(tmp_path / "layers.bin", "r+b") as file:
        file.truncate(100)
    with pytest.raises(HeadstartError, match="ends before its features do"):
        list(blocks.in_order())


def test_probabilities_by_blocks_are_those_in_memory(tmp_path):
    features = overlapping()
    head = make_head("logistic").fit(*features.training_rows())
    rows = features.rows("validation")
    large = on_disk(features, tmp_path)
    found = proba_of(head.predict_proba, large.X, rows, large.ids)
    np.testing.assert_allclose(found, head.predict_proba(features.X[rows]), atol=1e-6)
    assert Bundle.of(head, large).scores["train"]["accuracy"] == pytest.approx(
        Bundle.of(head, features).scores["train"]["accuracy"]
    )


@pytest.mark.parametrize(
    ("text", "size"), [("32", 32e6), ("32MB", 32e6), ("1.5 gb", 1.5e9), ("2TB", 2e12), ("64kb", 64e3)]
)
def test_amounts_of_memory(text, size):
    assert parse_memory(text) == size


@pytest.mark.parametrize("text", ["0", "0GB", "abc", "-5", "1XB", "", "nan", "1e3"])
def test_bad_amounts_have_one_message(text, tiny_file):
    assert "--memory is not an amount of memory" in fail("train", tiny_file, f"--memory={text}", code=2)


def test_less_than_a_block_is_refused_with_what_is_needed(tiny_file, patch_ours):
    patch_ours("classify.heads.memory.in_memory_needs", lambda matrix: 1000 * matrix)
    told = fail("train", tiny_file, "--memory", "100KB")
    assert "--memory is too little for the head logistic" in told
    needed = told.split("expected: ")[1].split(" or more")[0]
    result = invoke("train", tiny_file, "--memory", needed, "-o", tiny_file.with_name("just-enough"))
    assert "in blocks, within " + needed in result.stderr


def test_heads_that_need_all_rows_say_which_do_not(tiny_file):
    told = fail("train", tiny_file, "--head", "knn", "--memory", "100KB")
    assert all(name in told for name, head in HEADS.items() if head.streaming)
    needed = told.split("--memory of ")[1].split(" or more")[0]
    matrix = len(load_features(tiny_file).rows("train")) * 1024 * 4
    assert how_to_train("knn", matrix, parse_memory(needed)) == "in memory"


def test_without_memory_only_large_matrices_are_read_in_blocks():
    assert how_to_train("ridge", 10**9, None) == "in memory"
    assert how_to_train("ridge", 10**9 + 1, None) == "streaming"
    assert how_to_train("lda", 10**12, None) == "in memory"
    assert how_to_train("ridge", 10**8, 10**8) == "streaming"


def test_ridge_asks_for_validation_rows(tmp_path):
    features = overlapping()
    features.splits[features.splits == 1] = 2
    with pytest.raises(HeadstartError, match="chooses its penalty by validation rows"):
        fit_streaming("ridge", make_head("ridge"), on_disk(features, tmp_path), MEMORY)


def test_the_command_says_that_it_read_blocks_and_saves_the_same_bundle(tiny_file, tmp_path, patch_ours):
    # the matrix is too large for memory
    patch_ours("classify.heads.memory.in_memory_needs", lambda matrix: 1000 * matrix)
    words = ["train", tiny_file, "-o"]
    assert "in blocks" not in invoke(*words, tmp_path / "whole").stderr
    result = invoke(*words, tmp_path / "blocks", "--memory", "6MB")
    assert result.exit_code == 0, result.output
    assert "in blocks, within 6MB" in result.stderr
    one, two = (Bundle.load(tmp_path / name) for name in ("whole", "blocks"))
    X = np.asarray(FeatureFile(tiny_file).features("avg_pool"))
    np.testing.assert_allclose(one.predict_proba(X), two.predict_proba(X), atol=1e-4)
    assert one.scores["validation"]["accuracy"] == two.scores["validation"]["accuracy"]


CHILD = """
import resource, sys
from dataclasses import replace
import numpy as np
from small import drawn_features
from classify.features.blocks import proba_of
from classify.features.columns import Columns
from classify.heads.streaming import fit_streaming
from classify.heads.table import make_head
layer = np.memmap(sys.argv[1], np.float32, "r", 0, (50_000, 1024))
small = drawn_features(50_000, 2, 2)
features = replace(small, X=Columns([layer]))
head = make_head(sys.argv[2], **eval(sys.argv[3]))
warm = np.random.default_rng(0).normal(size=(600, 1024)).astype(np.float32)
make_head(sys.argv[2], **eval(sys.argv[3])).fit(warm, np.arange(600) % 2).predict_proba(warm)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
fit_streaming(sys.argv[2], head, features, 64 * 10**6)
proba = proba_of(head.predict_proba, features.X, features.rows("validation"), features.ids)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, len(proba))
"""


@pytest.fixture(scope="module")
def large(tmp_path_factory) -> Path:
    """A matrix of 205 MB."""
    path = tmp_path_factory.mktemp("large") / "large.bin"
    generator = np.random.default_rng(0)
    with path.open("wb") as file:
        for first in range(0, 50_000, 5_000):
            block = generator.random((5_000, 1024), np.float32)
            block[:, 0] += np.arange(first, first + 5_000) % 2
            file.write(block.tobytes())
    return path


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("logistic", {"max_iter": 3}),
        ("centroid", {}),
        ("ridge", {"alphas": (1.0,)}),
        ("keras-linear", {"epochs": 1}),
        ("mlp", {"epochs": 1, "hidden": (4,), "batch_size": 512}),
    ],
)
def test_resident_memory_grows_by_no_more_than_was_allowed(name, params, large):
    command = [sys.executable, "-c", CHILD, str(large), name, repr(params)]
    env = {"PYTHONPATH": os.environ["PYTHONPATH"], "PATH": "", "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    grown, rows = map(int, done.stdout.split())
    assert rows == 10_000
    assert grown * 1024 < 64 * 10**6
