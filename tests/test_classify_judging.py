"""What train and sweep say next: a command that does not refuse, and what the rows do not tell."""

from pathlib import Path

import pytest

from classify.judging import JudgingRows, advice

NONE = frozenset()
COMMAND = "python -m classify evaluate 'my head' a.h5 b.h5"


@pytest.mark.parametrize(
    ("rows", "note", "options"),
    [
        ((10, 10, NONE, 0), None, ""),
        ((10, 10, {"test"}, 0), None, " --unseen-only"),
        ((10, 9, NONE, 0), "few test rows (9), whose scores say little", ""),
        ((10, 0, NONE, 5), "no test rows", " --cv 5"),
        ((10, 0, {"test"}, 2), "training saw every test image", " --cv 2"),
        ((10, 0, NONE, 0), "no test rows", " --split validation"),
        ((0, 10, NONE, 0), "no validation rows: only training rows are scored here", ""),
        (
            (3, 0, {"validation"}, 0),
            "few validation rows (3), whose scores say little; no test rows",
            " --split validation --unseen-only",
        ),
    ],
)
def test_what_is_advised_works(rows, note, options):
    lines = advice(JudgingRows(*rows), "my head", [Path("a.h5"), Path("b.h5")])
    assert lines == [*([f"note: {note}"] if note else []), f"next: {COMMAND}{options}"]


def test_files_are_joined_as_they_were():
    (line,) = advice(JudgingRows(10, 10, NONE, 0), "head", [Path("a.h5"), Path("b.h5")], "inner")
    assert line == "next: python -m classify evaluate head a.h5 b.h5 --join inner"


def test_with_nothing_left_to_judge_by_no_command_is_named():
    *_, line = advice(JudgingRows(0, 0, NONE, 0), "head", [Path("a.h5")])
    assert line == "next: extract more images with labels: no rows are left to judge the head by"
