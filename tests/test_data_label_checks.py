"""Labels that teach nothing or contradict each other are named, with what follows."""

import hashlib

import numpy as np

from data.sources.arrays import from_arrays
from data.sources.labels import check_labels, source_warnings, thin_classes
from data.splits import SPLIT_NAMES


def checked(*rows, names=("ant", "bee", "cat")) -> list[str]:
    """Check rows of (image, label, split)."""
    digests = np.array([list(hashlib.sha256(image.encode()).digest()) for image, _, _ in rows], np.uint8)
    y = np.array([label for _, label, _ in rows], np.int32)
    splits = np.array([SPLIT_NAMES.index(split) for _, _, split in rows], np.int8)
    return check_labels(y, splits, digests.reshape(-1, 32), [f"{n}.png" for n in range(len(rows))], names)


def test_groups_in_training_and_in_another_split_are_named():
    y, splits, digests = np.array([0, 1, 0, 1, -1]), np.array([0, 0, 2, 2, 0]), np.zeros((0, 32), np.uint8)
    groups, ids = ["a", "b", "a", "c", "c"], list("vwxyz")
    (told,) = check_labels(y, splits, digests, ids, ["ant", "bee"], groups)
    assert told.startswith("1 group is in training and in another split: a;")
    assert check_labels(y, splits, digests, ids, ["ant", "bee"], ["a", "b", "d", "c", "c"]) == []


def test_sound_labels_give_no_warning():
    assert checked() == []
    assert checked(("a", 0, "train"), ("b", 1, "train"), ("b", 1, "test"), ("a", -1, "test")) == []


def test_a_class_without_training_rows_is_named_with_the_rows_that_count_as_wrong():
    rows = [("a", 0, "train"), ("b", 1, "validation"), ("c", 1, "test"), ("d", 0, "test")]
    (text,) = checked(*rows)
    assert text.startswith("1 class has no training row: bee;") and "2 rows count as wrong" in text
    (text,) = checked(*rows, ("e", 2, "test"))
    assert text.startswith("2 classes have no training row: bee, cat;") and "3 rows" in text


def test_a_file_that_is_for_judging_alone_misses_no_training_rows():
    assert checked(("a", 0, "test"), ("b", 1, "test")) == []
    assert checked(("a", -1, "train"), ("b", 1, "test")) == []


def test_equal_images_with_several_labels_are_named_with_them():
    rows = [("a", 0, "train"), ("b", 1, "train"), ("a", 1, "train"), ("c", 0, "train"), ("a", -1, "test")]
    assert checked(*rows) == [
        "1 image has several labels: 0.png (ant) = 2.png (bee); no head is right about all of them"
    ]
    more = [(letter, label, "train") for letter in "pqrst" for label in (0, 1)]
    (text,) = checked(*more)
    assert text.startswith("5 images have several labels: 0.png (ant) = 1.png (bee), 2.png")
    assert ", ...;" in text


def test_classes_that_look_alike_are_named():
    (text,) = checked(("a", 0, "train"), ("b", 1, "train"), names=("e\u0301", "\u00e9"))
    assert r"'e\u0301', '\xe9'" in text


def test_rows_whose_split_is_not_known_yet_may_train():
    pixels = np.arange(4 * 64).reshape(4, 8, 8) % 256
    source = from_arrays(pixels, ["ant", "ant", "bee", "cat"], ["train", "", "", "test"])
    (text,) = source_warnings(source)
    assert text.startswith("1 class has no training row: cat;")


def thin(*counts: dict[str, int]) -> list[str]:
    """Check classes by their rows in each split."""
    rows = [(label, name) for label, found in enumerate(counts) for name in found for _ in range(found[name])]
    y = np.array([label for label, _ in rows])
    splits = np.array([SPLIT_NAMES.index(name) for _, name in rows])
    return thin_classes(y, splits, ["ant", "bee", "cat"])


def test_classes_with_fewer_than_two_rows_in_a_split_are_named_in_one_line():
    assert thin({"train": 3, "test": 2}, {"train": 3, "test": 2}) == []  # no validation rows, on purpose
    assert thin({"train": 9, "validation": 2, "test": 2}, {"train": 3, "test": 1}) == [
        "1 class has fewer than two rows in a split: bee (0 validation, 1 test); its scores there say little"
    ]
    (text,) = thin({"train": 3, "test": 2}, {"train": 1, "test": 2}, {"test": 2})
    assert "in a split: bee (1 train); its" in text  # that cat has none to train on, `check_labels` says
    (text,) = thin({"train": 3, "test": 1}, {"train": 3})
    assert text.startswith("2 classes have fewer than two rows in a split: ant (1 test), bee (0 test); their")


def test_rows_without_a_label_are_in_no_class_that_could_be_thin():
    assert thin_classes(np.array([-1, -1, -1]), np.array([0, 1, 2]), ["ant"]) == []
