"""What train and sweep say next: a command that does not refuse, and what the rows do not tell."""

from pathlib import Path

import numpy as np
import pytest

from classify.scores.evaluate import evaluate
from classify.scores.judging import JudgingRows, advice, lone_answer

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


def scores_of(y: list[int], predicted: list[int]) -> dict:
    return evaluate(np.array(y), np.eye(3)[predicted], ["ant", "bee", "cow"])


@pytest.mark.parametrize(
    ("train", "validation", "said"),
    [
        (([0, 1, 2], [0, 1, 2]), ([0, 1] * 5, [1] * 10), "predicts bee for all 10 validation rows"),
        (([0, 1, 2], [0, 1, 2]), ([0] * 4 + [1] * 6, [1] * 10), None),
        (([0, 1, 2], [1, 1, 1]), ([0] + [1] * 99, [1] * 100), "predicts bee for all 3 training rows"),
        (([0, 1, 2], [2, 2, 2]), None, "predicts cow for all 3 training rows, though they are of 3 classes"),
        (([0, 1], [2, 2]), ([1, 1], [2, 2]), "predicts cow for all 2 training rows"),
        (([0, 1], [0, 0]), ([0, 1], [0, 1]), None),
        (([0, 1], [0, 1]), ([1, 1], [1, 1]), None),
    ],
)
def test_a_head_that_always_answers_the_same_is_told(train, validation, said):
    scores = {"train": scores_of(*train)} | ({"validation": scores_of(*validation)} if validation else {})
    warnings = lone_answer(scores)
    assert len(warnings) == (said is not None) and all(said in text for text in warnings)


def test_without_scores_nothing_is_told():
    assert lone_answer({}) == []
