"""The decision what to compute: every case of a changed source, without a file or a backbone."""

import pytest

from data.sources.source import Row
from extract.run.plan import Scan, plan

A, B, C, D = (letter * 32 for letter in (b"A", b"B", b"C", b"D"))


def scan(*pairs):
    rows = [Row(name, 0) for name, _ in pairs]
    return Scan(rows, [digest for _, digest in pairs], {name: "gone" for name, digest in pairs if not digest})


@pytest.mark.parametrize(
    ("pairs", "known", "missing", "counts"),
    [
        ([("a", A), ("b", B)], set(), ["a", "b"], {"added": 2}),
        ([("a", A), ("b", B)], {A, B}, [], {"present": 2}),
        ([("a", A), ("b", B), ("c", C)], {A, B}, ["c"], {"present": 2, "added": 1}),
        ([("renamed", A), ("b", B)], {A, B}, [], {"present": 2}),
        ([("old", C), ("b", B)], {A, B}, ["old"], {"present": 1, "replaced": 1}),
        ([("a", A), ("copy", A)], set(), ["a"], {"added": 1, "duplicates": 1}),
        ([("a", A), ("copy", A)], {A}, [], {"present": 2}),
        ([("a", A), ("b", None)], {A}, [], {"present": 1, "unreadable": 1}),
        ([("a", A), ("b", D)], {A}, [], {"present": 1, "rejected": 1}),
        ([], {A}, [], {}),
    ],
    ids=[
        "new",
        "hit",
        "added",
        "renamed",
        "replaced",
        "duplicates",
        "known duplicates",
        "unreadable",
        "rejected",
        "empty",
    ],
)
def test_what_is_missing_and_why(pairs, known, missing, counts):
    decided = plan(scan(*pairs), known, rejected={D}, names={"old"})
    assert [row.id for part in decided.parts for row in part.rows] == missing
    kinds = ("present", "rejected", "unreadable", "duplicates", "added", "replaced")
    assert {kind: getattr(decided, kind) for kind in kinds if getattr(decided, kind)} == counts
    assert sum(counts.values()) == decided.rows == len(pairs)
    assert decided.missing == len(missing)


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
