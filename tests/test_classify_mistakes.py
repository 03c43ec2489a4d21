"""What a head gets wrong: rows and pairs of classes, in the table, as CSV and as JSON."""

import csv
import json

import numpy as np
import pytest
from invoking import fail, invoke, succeed

from classify import Bundle, load_features
from classify.commands.evaluate import report_lines
from classify.scores.evaluate import evaluate
from classify.scores.mistakes import confused_pairs, mistakes
from data.output.csv_file import cell, cell_value, csv_text


def many_classes(count: int = 30) -> dict:
    """A report of more classes than a matrix shows: every third row of class 7 is taken for 8."""
    y = np.repeat(np.arange(count), 6)
    predicted = y.copy()
    predicted[y == 7] = [7, 8, 7, 8, 7, 8]
    predicted[y == 20] = [20, 20, 20, 20, 20, 3]
    proba = np.full((len(y), count), 0.5 / count)
    proba[np.arange(len(y)), predicted] += 0.5
    names = [f"class {number}" for number in range(count)]
    report = {"split": "test", **evaluate(y, proba, names)}
    report["confused"] = confused_pairs(report["confusion"], names)
    ids, digests = [f"{row}.jpg" for row in range(len(y))], np.zeros((len(y), 32), np.uint8)
    report["errors"] = [each.to_dict() for each in mistakes(y, proba, names, ids, digests)]
    return report


def test_beyond_twenty_classes_the_weakest_take_the_place_of_the_matrix():
    lines = report_lines(many_classes())
    assert max(map(len, lines)) <= 80 and len(lines) < 35
    assert not any("<- predicted" in line for line in lines)
    weakest = lines.index("the 10 weakest of 30 classes")
    assert [line.split()[:2] for line in lines[weakest + 2 : weakest + 4]] == [
        ["class", "7"],
        ["class", "20"],
    ]
    pairs = next(number for number, line in enumerate(lines) if line == "2 confused pairs")
    assert lines[pairs + 2].split() == ["class", "7", "class", "8", "3", "50.0%"]
    assert lines[pairs + 3].split() == ["class", "20", "class", "3", "1", "16.7%"]
    assert lines[pairs + 4] == "4 wrong rows, the worst first" and len(lines) == pairs + 10


def test_of_more_than_ten_wrong_rows_ten_are_shown():
    report = many_classes()
    report["errors"] = report["errors"] * 5
    lines = report_lines(report)
    assert lines[-12] == "10 of 20 wrong rows, the worst first"


def test_long_names_leave_the_tables_as_wide_as_a_terminal():
    names = [f"a class whose name goes on and on, number {number}" for number in range(8)]
    y, proba = np.arange(8), np.roll(np.eye(8), 1, axis=1)
    report = {"split": "test", **evaluate(y, proba, names)}
    report["confused"] = confused_pairs(report["confusion"], names)
    ids, digests = [f"{'a folder/' * 12}{row}.jpg" for row in y], np.zeros((8, 32), np.uint8)
    report["errors"] = [each.to_dict() for each in mistakes(y, proba, names, ids, digests)]
    lines = report_lines(report)
    assert max(map(len, lines)) <= 80
    assert "the confusion matrix is wider than a terminal: --json has it, --figures draws it" in lines


def test_every_wrong_row_is_listed(noise_bundle, two_layers, tmp_path):
    path = tmp_path / "wrong.csv"
    report = json.loads(succeed("evaluate", noise_bundle, two_layers, "--errors", path, "--json"))
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["digest", "id", "label", "predicted", "probability", "label_probability"]
    assert [row["id"] for row in rows] == [row["id"] for row in report["errors"]]
    bundle, features = Bundle.load(noise_bundle), load_features(two_layers, ["noise"])
    y, proba = bundle.predict_split(features, "test")
    chosen = features.rows("test")
    wrong = {features.ids[row]: row for row in chosen[proba.argmax(axis=1) != y]}
    assert {row["id"] for row in rows} == wrong.keys() and len(rows) == len(wrong) > 0
    for row in rows:
        assert bytes.fromhex(row["digest"]) == features.digests[wrong[row["id"]]].tobytes()
        assert row["label"] == features.class_names[features.y[wrong[row["id"]]]] != row["predicted"]
    own = [float(row["label_probability"]) for row in rows]
    assert own == sorted(own)
    printed = succeed("evaluate", noise_bundle, two_layers, "--errors", "-")
    assert printed == path.read_text()
    assert f"wrote {path}" in succeed("evaluate", noise_bundle, two_layers, "--errors", path).splitlines()


def test_a_file_of_another_origin_stays(noise_bundle, two_layers, tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("path,label\na.jpg,cat\n")
    assert "no list of mistakes" in fail("evaluate", noise_bundle, two_layers, "--errors", path)
    assert path.read_text() == "path,label\na.jpg,cat\n"


@pytest.mark.parametrize("words", [("--errors", "-", "--json"), ("--errors", "wrong.csv")])
def test_what_does_not_go_together_is_told(words, noise_bundle, layers_bundle, two_layers):
    bundles = [noise_bundle] if "--json" in words else [noise_bundle, layers_bundle]
    result = invoke("evaluate", *bundles, two_layers, *words)
    assert result.exit_code == 2 and "--errors" in result.stderr


CELLS = ["=1+1", "+cmd|'/c calc'!A0", "-2+3", "@SUM(1)", "\t=1", "\r=1", "'=1", "''+a"]


@pytest.mark.parametrize("text", CELLS)
def test_a_spreadsheet_runs_no_cell(text):
    assert cell(text) == f"'{text}" and cell_value(cell(text)) == text


@pytest.mark.parametrize("value", ["-1", "+1.5e-3", ".5", "a=b", "cat", "", "'quoted'", -0.5, None, "\u732b"])
def test_other_cells_stay_as_they_are(value):
    assert cell(value) == value
    assert not isinstance(value, str) or cell_value(value) == value


def test_rows_can_be_read_back():
    rows = [["=a,b", 'say "x"'], ["two\nlines", ""], ["a\rb", "c\r\nd"]]
    read = list(csv.reader(csv_text(["id", "label"], rows).splitlines(keepends=True)))
    assert [[cell_value(text) for text in row] for row in read] == [["id", "label"], *rows]
