"""The decision what to compute: every case of a changed source, without a file or a backbone."""

import pytest

from data.source import Row
from extract.plan import Scan, plan

A, B, C = b"A" * 32, b"B" * 32, b"C" * 32


def scan(*pairs):
    rows = [Row(name, 0) for name, _ in pairs]
    return Scan(rows, [digest for _, digest in pairs], {name: "gone" for name, digest in pairs if not digest})


@pytest.mark.parametrize(
    ("pairs", "known", "missing", "rows_known", "unreadable"),
    [
        ([("a", A), ("b", B)], set(), ["a", "b"], 0, 0),
        ([("a", A), ("b", B)], {A, B}, [], 2, 0),
        ([("a", A), ("b", B), ("c", C)], {A, B}, ["c"], 2, 0),
        ([("renamed", A), ("b", B)], {A, B}, [], 2, 0),
        ([("a", C), ("b", B)], {A, B}, ["a"], 1, 0),
        ([("a", A), ("copy", A)], set(), ["a"], 0, 0),
        ([("a", A), ("copy", A)], {A}, [], 2, 0),
        ([("a", A), ("b", None)], {A}, [], 1, 1),
        ([], {A}, [], 0, 0),
    ],
    ids=["new", "hit", "added", "renamed", "replaced", "twins", "known twins", "unreadable", "empty"],
)
def test_what_is_missing(pairs, known, missing, rows_known, unreadable):
    decided = plan(scan(*pairs), known)
    assert [row.id for part in decided.parts for row in part.rows] == missing
    assert (decided.known, decided.unreadable, decided.missing) == (rows_known, unreadable, len(missing))


def test_parts_cover_the_missing_rows_once_in_the_sources_order():
    pairs = [(f"{number:03d}", bytes([number]) * 32) for number in range(100)]
    parts = plan(scan(*pairs), set(), part_rows=30).parts
    assert [len(part.rows) for part in parts] == [30, 30, 30, 10]
    assert [row.id for part in parts for row in part.rows] == [name for name, _ in pairs]
    assert len({part.name for part in parts}) == 4


def test_the_name_of_a_part_depends_on_its_images_alone():
    one = plan(scan(("a", A), ("b", B)), set()).parts[0]
    other = plan(scan(("z", B), ("y", A)), set()).parts[0]
    assert one.name == other.name
