"""Texts and rows as columns: what a list of them does, in a tenth of the memory."""

import pickle
import tracemalloc

import numpy as np
import pytest

from data import HeadstartError, Row
from data.sources.rows import Rows, unique_ids
from data.texts import Texts

WORDS = ["b", "", "é", "a", "long" * 40, "\U0001f408", "caf\udce9", "a"]


def test_texts_are_a_sequence_of_what_they_were_made_of():
    texts = Texts(WORDS)
    assert list(texts) == [texts[number] for number in range(len(WORDS))] == WORDS
    assert (texts[-1], texts[1:3], texts == WORDS, texts == WORDS[:-1]) == ("a", WORDS[1:3], True, False)
    assert (Texts(), len(Texts()), Texts.of(texts) is texts) == ([], 0, True)
    assert pickle.loads(pickle.dumps(texts)) == texts
    with pytest.raises(IndexError):
        texts[len(WORDS)]


def test_texts_are_found():
    texts = Texts(WORDS)
    assert [texts.find(word) for word in WORDS] == [0, 1, 2, 3, 4, 5, 6, 7]
    assert (texts.find("c"), "c" in texts, "a" in texts, Texts().find("a")) == (-1, False, True, -1)
    assert (texts.find("a", near=7), texts.index("b")) == (7, 0)
    with pytest.raises(ValueError, match="'c'"):
        texts.index("c")
    assert (texts.twice(), Texts("abcda").twice(), Texts("abc").twice()) == ((3, 7), (0, 4), None)
    texts.extend(Texts(["c", "b"]))
    assert (texts.find("c"), len(texts), texts.find("b", near=-1)) == (8, 10, 0)


def test_texts_of_one_hash_are_told_apart(monkeypatch):
    monkeypatch.setattr("data.texts.hash", lambda text: 0, raising=False)
    texts = Texts("abcb")
    assert [texts.find(word, near=-1) for word in "abcd"] == [0, 1, 2, -1]
    assert (texts.twice(), Texts("abc").twice()) == ((1, 3), None)


@pytest.mark.parametrize(
    "words", [[], ["a"], WORDS, ["b", "ab", "a", "ab"], [f"{n % 97}" for n in range(500)]]
)
def test_texts_are_ordered_by_their_bytes(words):
    encoded = [word.encode("utf-8", "surrogatepass") for word in words]
    assert Texts(words).order().tolist() == sorted(range(len(words)), key=encoded.__getitem__)
    assert Texts.padded(Texts(words).wide()) == words
    assert Texts(words).at(np.arange(len(words))[::-2]) == words[::-2]


def test_more_texts_than_are_handled_at_once(monkeypatch):
    monkeypatch.setattr("data.texts._AT_ONCE", 3)
    test_texts_are_ordered_by_their_bytes(WORDS)
    assert Texts.parted(b"a||bc", b"|") == ["a", "", "bc"]


ROWS = [
    Row("a", 0),
    Row("b", -1, "test"),
    Row("c", 3, None, "g"),
    Row("d", 1, "train", "h"),
    Row("e", 1, "", ""),
]


def test_rows_are_a_sequence_of_what_they_were_made_of():
    rows = Rows(ROWS)
    assert rows == [*ROWS[:-1], Row("e", 1)]
    assert (rows[2], rows[-2], rows[1:3]) == (ROWS[2], ROWS[3], ROWS[1:3])
    assert rows.at(np.array([3, 0])) == [ROWS[3], ROWS[0]]
    assert (rows.splits.tolist(), rows.groups.tolist()) == ([-1, 2, -1, 0, -1], [-1, -1, 0, 1, -1])
    assert pickle.loads(pickle.dumps(rows)) == rows


def test_rows_refuse_what_no_file_takes():
    with pytest.raises(HeadstartError, match="unknown split"):
        Rows([Row("a", 0, "val")])
    with pytest.raises(HeadstartError, match="no text"):
        Rows([Row("caf\udce9", 0)])
    with pytest.raises(HeadstartError, match="lines 2 and 4; 3 rows, 2 different"):
        unique_ids([Row("a", 0), Row("b", 0), Row("a", 1)], "list.csv", [2, 3, 4])


def test_a_row_takes_little_more_than_its_name():
    tracemalloc.start()
    rows = unique_ids(
        (Row(f"class{n % 7}/{n:09d}.jpg", n % 7, None, f"g{n % 50}") for n in range(50_000)), ""
    )
    taken = tracemalloc.get_traced_memory()[0] / len(rows)
    tracemalloc.stop()
    assert len(rows.ids[0]) == 20
    assert (
        taken < 20 + 8 + 9 + 16 + 8
    )  # name, end, label and split and group, hash and whose it is; arrays grow
