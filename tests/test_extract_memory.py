"""What is known of many rows takes a few bytes a row, and what is decided over them little more."""

import tracemalloc

import numpy as np
import pytest

from data import Row
from data.texts import Texts
from extract import FeatureFile
from extract.feature_file.contents import Contents
from extract.feature_file.digests import DigestIndex, Digests, digest_array
from extract.feature_file.part import PartFile, write_part
from extract.feature_file.part_names import part_name
from extract.feature_file.places import KnownFeatures, Places
from extract.feature_file.writer import write_feature_file
from extract.recipe import EngineInfo, Recipe
from extract.run.plan import Scan, plan
from extract.run.survey import survey

RECIPE, ENGINE = Recipe("xception", weights="00"), EngineInfo("drawn")
MANY = 50_000


def drawn_part(folder, digests):
    rows = {digest.tobytes(): [np.zeros(1, np.float32)] for digest in digests}
    path = folder / part_name(list(rows))
    write_part(path, RECIPE, ENGINE, [np.zeros(1, np.float32)], rows, {})
    return PartFile(path)


@pytest.fixture
def drawn(tmp_path):
    """A sharded file of many rows, and the digests of its images."""
    digests = np.random.default_rng(0).integers(0, 256, (MANY, 32), np.uint8)
    (tmp_path / "out").mkdir()
    contents = Contents(
        recipe=RECIPE,
        source={"kind": "drawn"},
        weights={},
        class_names=("cat", "dog"),
        engines=(ENGINE,),
        ids=Texts(f"cat/{number:015d}.jpg" for number in range(MANY)),  # 23 bytes
        digests=digests,
        labels=np.zeros(MANY, np.int32),
        splits=np.zeros(MANY, np.int8),
        origins=np.zeros(MANY, np.uint8),
    )
    part = drawn_part(tmp_path / "out", digests)
    write_feature_file(tmp_path / "out", contents, Places.whole(part), "sharded")
    return tmp_path / "out", digests


def traced(work):
    """Return what work returns, and the bytes a row that it took, in the end and at its peak."""
    work()  # what is imported on use does not count
    tracemalloc.start()
    result = work()
    kept, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return result, kept / MANY, peak / MANY


def test_what_is_known_takes_little_memory_a_row(drawn):
    """Digest 32, id 23, checksum 16, bisection 12, end of the id 8, place 8, and 6 of labels and the like."""
    folder, _ = drawn
    file, kept, _ = traced(lambda: FeatureFile(folder))
    assert len(file.contents.ids) == MANY and kept < 100
    found, kept, peak = traced(lambda: survey(RECIPE, folder))
    assert len(found.features.index) == MANY and kept < 110 and peak < 250


def test_a_plan_takes_little_memory_a_row(drawn):
    """Of every two images one is known; a number of 8 bytes is kept of each other."""
    _, digests = drawn
    rows = (Row(f"cat/{number:015d}.jpg", 0) for number in range(MANY))
    scan = Scan(rows, Digests(digests, np.ones(MANY, bool)), {})
    known = DigestIndex(digests[::2])
    decided, kept, peak = traced(lambda: plan(scan, known))
    assert (decided.present, decided.added, decided.missing) == (MANY // 2,) * 3 and kept < 8 and peak < 150
    parts = [digest for part in decided.parts for digest in part.digests]
    assert digest_array(parts).tobytes() == digests[1::2].tobytes()
    assert decided.parts[-1] == decided.parts[len(decided.parts) - 1] == decided.parts[-1:][0]


def test_digests_that_begin_alike_are_told_apart():
    letters = [b"A" * 8 + bytes([last]) * 24 for last in (3, 1, 2, 1)]
    index = DigestIndex(digest_array(letters))
    wanted = [*letters, b"A" * 8 + bytes(24), b"B" * 32]
    assert index.find(digest_array(wanted)).tolist() == [0, 1, 2, 1, -1, -1]
    assert (letters[0] in index, "A" in index, DigestIndex.of([]).find(digest_array(wanted)).max()) == (
        True,
        False,
        -1,
    )


def test_digests_are_a_sequence_of_what_they_were_made_of():
    given = [b"A" * 32, None, bytes(32)]
    digests = Digests.of(given)
    assert (list(digests), digests == given, digests[1:] == given[1:]) == (given, True, True)
    assert (Digests.of(digests) is digests, Digests.unknown(2) == [None, None], digests == given[:2]) == (
        True,
        True,
        False,
    )


def test_features_come_from_the_first_store_that_has_them(tmp_path):
    letters = [letter * 32 for letter in (b"A", b"B", b"C")]
    one, two = (drawn_part(tmp_path, digest_array(some)) for some in (letters[:2], letters[1:]))
    known = KnownFeatures([one, two])
    assert [known[letter] for letter in letters] == [(one, 0), (one, 1), (two, 1)]
    with pytest.raises(KeyError):
        known[b"D" * 32]
    pairs = [(two, 1), (one, 0), (two, 0)]
    places = Places.of(pairs)
    assert (list(places), list(places[1:]), Places.of(places) is places) == (pairs, pairs[1:], True)
    assert [(store, numbers.tolist(), rows.tolist()) for store, numbers, rows in places.by_store()] == [
        (two, [0, 2], [1, 0]),
        (one, [1], [0]),
    ]
