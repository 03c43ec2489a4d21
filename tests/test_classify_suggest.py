"""What to label next: uncertain and different images, as corrections to fill in."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import refused
from invoking import fail, invoke, succeed
from small import drawn_features, on_disk, write_two_layers

from classify import HEADS, Bundle, load_features
from classify.audit.suggest import Suggestion, Unlabelled, diverse, suggest, suggestions_csv
from classify.commands.suggest import suggestion_lines
from classify.features.corrections import read_corrections
from data.output.checks import check_file
from data.output.ours import SUGGESTIONS, kind_of_output

TRUTH = np.arange(60, dtype=np.int32) % 3
SPLITS = np.array([0, 0, 0, 0, 0, 0, 1, 1, 1, 2, 2, 2] * 5)
HIDDEN = np.flatnonzero(SPLITS == 0)[6:]  # 24 training rows whose labels are hidden


def hidden_labels() -> np.ndarray:
    labels = TRUTH.copy()
    labels[[*HIDDEN, 7, 11, 23]] = -1  # also one row of validation and two of test
    return labels


@pytest.fixture(scope="module")
def few(tmp_path_factory) -> Path:
    """A feature file with six labelled training rows."""
    return write_two_layers(tmp_path_factory.mktemp("few"), hidden_labels())


@pytest.fixture(scope="module")
def bundle(few) -> Path:
    """A head that learned from noise: it is unsure of most rows."""
    features = load_features(few, ["noise"])
    head = HEADS["logistic"](C=0.01).fit(*features.split("train"))
    Bundle.of(head, features, "logistic").save(few.parent / "noise")
    return few.parent / "noise"


def rows_of(path: Path) -> list[dict]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def fill_in(path: Path, labels: dict[str, str], **form) -> None:
    """Write labels into a file of suggestions, by digest, as a spreadsheet does."""
    rows = rows_of(path)
    with open(path, "w", newline="", **form) as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows({**row, "label": labels.get(row["digest"], row["label"])} for row in rows)


def true_label(row: dict) -> str:
    return ("ant", "bee", "cow")[int(row["id"][:3]) % 3]


def ids(found: list[Suggestion]) -> list[int]:
    return [int(Path(each.id).stem) for each in found]


class Unsure:
    """A head of two classes that is unsure of rows whose first feature is small."""

    classes_ = np.array([0, 1])
    n_features_in_ = 6

    def predict_proba(self, X):
        high = 0.5 + np.minimum(np.abs(X[:, 0]), 1) / 2
        return np.stack([1 - high, high], axis=1)


def pool(X: np.ndarray, **values):
    """Features without labels, all for training, and a bundle of `Unsure`."""
    usual = {
        "y": np.full(len(X), -1, np.int32),
        "splits": np.zeros(len(X), np.int8),
        "X": X.astype(np.float32),
    }
    features = drawn_features(len(X), **usual | values)
    return Bundle(Unsure(), "unsure", features.class_names, features.feature_sets, {}, {}), features


# What is chosen


def test_uncertain_rows_of_every_kind_are_chosen():
    """Of 30 uncertain rows 24 lie in one place: the best margins alone would take them."""
    generator = np.random.default_rng(0)
    places = np.repeat([0, 1, 2, 3], [24, 2, 2, 2])
    X = 0.01 * generator.normal(size=(100, 6))
    X[:, 0] = 5  # of which the head is sure
    X[:30, 0] = 0.001
    X[6:30, 0] = 0.002
    X[np.arange(30), 1 + places] += 1
    X[30:, 5] += 1
    bundle, features = pool(X)
    found = ids(suggest(bundle, features, 4))
    assert {places[row] for row in found} == {0, 1, 2, 3} and max(found) < 30
    margins = [each.margin for each in suggest(bundle, features, 4)]
    assert margins == sorted(margins)


def test_a_certain_row_is_suggested_where_there_are_no_others():
    X = np.eye(6)[np.arange(30) % 6] * 5
    X[:, 0] += 2
    bundle, features = pool(X)
    found = suggest(bundle, features, 7)
    assert len(set(ids(found))) == 7 and all(each.margin == 1 for each in found)
    assert len({tuple(X[row]) for row in ids(found)}) == 6


@pytest.mark.parametrize("n", [29, 30, 31, 50])
def test_of_few_rows_all_are_suggested(n):
    bundle, features = pool(np.random.default_rng(0).normal(size=(30, 6)))
    assert len(set(ids(suggest(bundle, features, n)))) == min(n, 30)


def test_alike_images_are_told_apart_once():
    X = np.ones((40, 6))
    assert len(set(diverse(X.astype(np.float32), np.linspace(0, 0.5, 40), 5).tolist())) == 5
    assert len(set(diverse(np.zeros((40, 6), np.float32), np.zeros(40), 5).tolist())) == 5


def test_blocks_from_disk_give_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr("classify.features.blocks._IN_ORDER", 4 * 6 * 8)
    bundle, features = pool(np.random.default_rng(0).normal(size=(100, 6)))
    expected = suggest(bundle, features, 5)
    assert suggest(bundle, on_disk(features, tmp_path), 5) == expected == suggest(bundle, features, 5)


@pytest.mark.parametrize("place", ["memory", "disk"])
def test_a_feature_that_is_no_number_is_named(place, tmp_path):
    X = np.random.default_rng(0).normal(size=(100, 6))
    X[42, 3] = np.nan
    bundle, features = pool(X)
    features = on_disk(features, tmp_path) if place == "disk" else features
    refused(lambda: suggest(bundle, features, 5), "NaN", "0042.png")


def test_labelled_rows_other_splits_and_copies_are_not_suggested():
    generator = np.random.default_rng(0)
    digests = generator.integers(0, 256, (100, 32), np.uint8)
    digests[51] = digests[50]
    digests[52] = digests[3]
    y = np.full(100, -1, np.int32)
    y[:10] = 0
    splits = np.zeros(100, np.int8)
    splits[60:70], splits[70:] = 1, 2
    bundle, features = pool(generator.normal(size=(100, 6)), y=y, splits=splits, digests=digests)
    named = {digests[row].tobytes() for row in (53, 54, 3)}
    found = Unlabelled.of(features, named)
    assert found.rows.tolist() == [*range(10, 51), *range(55, 60)]
    assert found.left_out == {"validation": 10, "test": 30, "copies": 2, "named": 2}
    assert set(ids(suggest(bundle, features, 46, found))) == set(found.rows.tolist())


def test_of_left_out_labels_none_is_suggested_again():
    _, features = pool(np.random.default_rng(0).normal(size=(20, 6)))
    features.y[:5] = 0
    entry = f"digest,id,label\n{features.digests[2].tobytes().hex()},,\n"
    corrections = _read(entry)
    corrected, _ = corrections.apply(features)
    assert corrected.y[2] == -1 and 2 not in Unlabelled.of(corrected, corrections.entries).rows


def _read(text: str):
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        path = Path(folder) / "some.csv"
        path.write_text(text)
        return read_corrections(path)


# What is refused


def test_nothing_to_suggest(few, bundle, tmp_path):
    features = drawn_features()
    head = Bundle(Unsure(), "unsure", features.class_names, features.feature_sets, {}, {})
    refused(lambda: suggest(head, features, 5), "no image to suggest", "empty label")
    labels = tmp_path / "labels.csv"
    succeed("suggest", bundle, few, "-n", 24, "-o", labels)
    result = invoke("suggest", bundle, few, "--corrections", labels)
    assert result.exit_code == 1 and "24 that the corrections name" in result.stderr


@pytest.mark.parametrize("n", [0, -1, 1001])
def test_a_number_beyond_the_bounds(n, few, bundle):
    assert "n must be a whole number, 1 or more and at most 1000" in fail(
        "suggest", bundle, few, "-n", n, code=2
    )


def test_wrong_arguments(few, bundle, two_layers, tmp_path):
    fail("suggest", few, bundle)
    fail("suggest", bundle, tmp_path / "none.h5")
    fail("suggest", tmp_path, few)
    assert invoke("suggest", bundle, few, "--csv", "--json").exit_code == 2
    stranger = tmp_path / "mine.csv"
    stranger.write_text("digest,id\n")
    assert "list of suggestions" in fail("suggest", bundle, few, "-o", stranger)
    assert stranger.read_text() == "digest,id\n"
    fail("suggest", bundle, few, "-o", few)
    assert "no image to suggest" in fail("suggest", bundle, two_layers)


# The file


def test_the_file_filled_in_trains(few, bundle, tmp_path):
    labels = tmp_path / "labels.csv"
    printed = succeed("suggest", bundle, few, "-n", 10, "-o", labels)
    assert printed.splitlines()[-2:] == [
        f"wrote {labels}",
        f"next: fill in its column label, then python -m classify train {few} --corrections {labels}",
    ]
    rows = rows_of(labels)
    assert tuple(rows[0]) == SUGGESTIONS and len(rows) == 10 and {row["label"] for row in rows} == {""}
    assert {int(row["id"][:3]) for row in rows} <= set(HIDDEN.tolist())
    assert kind_of_output(labels) == "list of suggestions"
    check_file(labels, "list of suggestions")
    fill_in(labels, {row["digest"]: true_label(row) for row in rows}, encoding="utf-8-sig")
    result = invoke("train", few, "--corrections", labels, "-o", tmp_path / "after")
    assert result.exit_code == 0, result.output
    provenance = Bundle.load(tmp_path / "after").provenance
    assert provenance["rows"]["train"] == 16 and provenance["corrections"]["labelled"] == {"train": 10}


def test_lines_without_a_label_leave_nothing_out(few, bundle, tmp_path):
    """Half of the suggestions are labelled: the others stay as they are, and so do all labelled rows."""
    labels = tmp_path / "labels.csv"
    succeed("suggest", bundle, few, "-n", 10, "-o", labels)
    half = rows_of(labels)[:5]
    fill_in(labels, {row["digest"]: true_label(row) for row in half})
    features = load_features(few)
    corrected, applied = read_corrections(labels).apply(features)
    changed = np.flatnonzero(corrected.y != features.y)
    assert sorted(changed) == sorted(int(row["id"][:3]) for row in half)
    assert applied.counts["labelled"] == {"train": 5} and not applied.counts["left_out"]


def test_a_second_round_keeps_the_first(few, bundle, tmp_path):
    first, second = tmp_path / "first.csv", tmp_path / "second.csv"
    succeed("suggest", bundle, few, "-n", 10, "-o", first)
    fill_in(first, {row["digest"]: true_label(row) for row in rows_of(first)[:6]})
    result = invoke("suggest", bundle, few, "-n", 8, "--corrections", first, "-o", second, "--json")
    values = json.loads(result.stdout)
    assert values["unlabelled"] == 14 and values["left_out"]["named"] == 4
    old, new = rows_of(first), rows_of(second)
    assert [(row["digest"], row["label"]) for row in new[:10]] == [
        (row["digest"], row["label"]) for row in old
    ]
    assert [row["digest"] for row in new[10:]] == [each["digest"] for each in values["suggestions"]]
    assert len({row["digest"] for row in new}) == 18
    _, applied = read_corrections(second).apply(load_features(few))
    assert applied.counts["labelled"] == {"train": 6}


def test_labels_that_were_filled_in_are_not_lost(few, bundle, tmp_path):
    labels = tmp_path / "labels.csv"
    succeed("suggest", bundle, few, "-n", 4, "-o", labels)
    succeed("suggest", bundle, few, "-n", 5, "-o", labels)  # nothing filled in: replaced
    assert len(rows_of(labels)) == 5
    row = rows_of(labels)[2]
    fill_in(labels, {row["digest"]: true_label(row)}, encoding="utf-8")
    labels.write_text(labels.read_text().replace("\r\n", "\n"))
    message = fail("suggest", bundle, few, "-n", 5, "-o", labels)
    assert "1 image with a label" in message and f"--corrections {labels}" in message
    result = invoke("suggest", bundle, few, "-n", 3, "--corrections", labels, "-o", labels)
    assert result.exit_code == 0, result.output
    assert rows_of(labels)[2]["label"] == true_label(row) and len(rows_of(labels)) == 8


def test_csv_and_json_say_the_same(few, bundle):
    values = json.loads(succeed("suggest", bundle, few, "-n", 6, "--json"))
    rows = list(csv.DictReader(succeed("suggest", bundle, few, "-n", 6, "--csv").splitlines()))
    assert [row["digest"] for row in rows] == [each["digest"] for each in values["suggestions"]]
    assert all(0 <= each["margin"] <= each["probability"] <= 1 for each in values["suggestions"])
    assert (values["unlabelled"], values["file"]) == (24, None)
    assert values["left_out"] == {"validation": 1, "test": 2, "copies": 0, "named": 0}
    assert "1901.05954" in values["method"]


HOSTILE = ("</script><img onerror=x>", "=cmd()", "two\nlines", "\u202eright to left", "x" * 300)


def test_hostile_names_and_narrow_terminals():
    found = [Suggestion("ab" * 32, name, name, 0.5, HOSTILE[0], 0.25) for name in HOSTILE]
    values = {
        "suggestions": [each.to_dict() for each in found],
        "unlabelled": 1_000_000,
        "left_out": {"validation": 0, "test": 100_000, "copies": 0, "named": 100},
        "file": None,
    }
    lines = suggestion_lines([], values)
    assert len(lines) == 3 + len(HOSTILE) and all(line.isprintable() for line in lines)
    assert max(map(len, lines)) <= 80
    found = [replace(each, digest=f"{number:064x}") for number, each in enumerate(found)]
    read = _read(suggestions_csv(found)).entries.values()
    assert [each.id for each in read] == list(HOSTILE)
    for row in csv.reader(suggestions_csv(found).splitlines()):
        assert not any(cell.startswith(("=", "+", "@")) for cell in row)


def test_corrections_are_checked_as_everywhere(few, bundle, tmp_path):
    wrong = tmp_path / "wrong.csv"
    wrong.write_text(f"digest,id,label\n{bytes([12] * 32).hex()},,zebra\n")
    assert "zebra" in fail("suggest", bundle, few, "--corrections", wrong)


def test_more_than_the_head_knows_is_no_obstacle(few, bundle):
    """Labelled rows of a class that the head has not are no matter: only rows without a label count."""
    features = load_features(few, ["noise"])
    loaded = Bundle.load(bundle)
    for names in (("fox", "gnu", "hen"), ("none",)):
        other = replace(features, y=np.minimum(features.y, len(names) - 1), class_names=names)
        assert suggest(loaded, other, 5) == suggest(loaded, features, 5)
    predicted = {each.predicted for each in suggest(loaded, features, 5)}
    assert predicted and predicted <= set(loaded.class_names)
    (warning,) = replace(features, class_names=("fox", "gnu", "hen")).unknown_warnings(loaded.class_names)
    assert "does not know fox, gnu" in warning and features.unknown_warnings(loaded.class_names) == []
