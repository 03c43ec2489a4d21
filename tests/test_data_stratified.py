"""Splits dealt class by class: fractions, growth, groups and equal images, the order of rows."""

import hashlib
from collections import Counter, defaultdict
from dataclasses import replace
from math import ceil, floor

import numpy as np
import pytest
from conftest import assert_four_parts

from data.errors import UsageError
from data.split_rule import HASH, SplitRule, parse_fractions
from data.splits import SPLIT_NAMES
from data.stratified import ToDeal, stratified

RULE = SplitRule("stratified")
FRACTIONS = [(0.8, 0.1, 0.1), (0.7, 0.2, 0.1), (0.9, 0.1, 0.0), (0.5, 0.0, 0.5), (0.34, 0.33, 0.33)]


def images(numbers) -> list[bytes]:
    return [hashlib.sha256(b"%d" % number).digest() for number in numbers]


def to_deal(labels, groups=None, own=None, stored=None, digests=None) -> ToDeal:
    none = [None] * len(labels)
    digests = digests or images(range(len(labels)))
    return ToDeal(list(labels), digests, groups or none, own or none, stored or none)


def drawn(seed: int, classes: int = 7, rows: int = 300) -> list[int]:
    """Draw labels of classes of very different sizes, and some that are unknown."""
    generator = np.random.default_rng(seed)
    shares = generator.dirichlet(np.full(classes + 1, 0.5))
    return (generator.choice(classes + 1, rows, p=shares) - 1).tolist()


def counts(labels, splits) -> dict[int, list[int]]:
    found = Counter(zip(labels, splits, strict=True))
    return {label: [found[label, name] for name in SPLIT_NAMES] for label in set(labels)}


@pytest.mark.parametrize("fractions", FRACTIONS)
@pytest.mark.parametrize("seed", range(5))
def test_each_class_has_its_share_in_each_split_up_to_one_row(fractions, seed):
    labels = drawn(seed)
    dealt = counts(labels, stratified(to_deal(labels), SplitRule("stratified", fractions, seed)))
    for label, found in dealt.items():
        rows = labels.count(label)
        for fraction, number in zip(fractions, found, strict=True):
            share = round(fraction * rows, 9)
            assert floor(share) <= number <= ceil(share), (label, rows, found)


@pytest.mark.parametrize(
    ("rows", "dealt"),
    [
        (1, [1, 0, 0]),
        (2, [1, 0, 1]),
        (3, [2, 0, 1]),
        (5, [4, 0, 1]),
        (6, [4, 1, 1]),
        (7, [5, 1, 1]),
        (10, [8, 1, 1]),
    ],
)
def test_a_small_class_trains_first_and_then_has_a_row_in_other_splits(rows, dealt):
    assert counts([0] * rows, stratified(to_deal([0] * rows), RULE))[0] == dealt


def test_many_small_classes_share_out_what_does_not_come_out_even():
    labels = np.repeat(np.arange(100), 5).tolist()
    assert Counter(stratified(to_deal(labels), RULE)) == {"train": 400, "validation": 50, "test": 50}


@pytest.mark.parametrize("seed", range(5))
def test_the_order_of_rows_changes_nothing(seed):
    labels, generator = drawn(seed), np.random.default_rng(seed)
    groups = [f"g{number}" if number < 40 else None for number in generator.integers(0, 80, len(labels))]
    numbers = generator.integers(0, 250, len(labels))  # some images several times
    rows = to_deal(labels, groups, digests=images(numbers))
    order = generator.permutation(len(labels))
    shuffled = ToDeal(
        *([values[row] for row in order] for values in (labels, rows.digests, groups, rows.own, rows.stored))
    )
    straight = stratified(rows, RULE)
    assert stratified(shuffled, RULE) == [straight[row] for row in order]


def test_another_seed_deals_other_images():
    labels = [0] * 100 + [1] * 100
    one, two = (stratified(to_deal(labels), SplitRule("stratified", seed=seed)) for seed in (0, 1))
    assert one != two and counts(labels, one) == counts(labels, two)
    assert stratified(to_deal(labels), SplitRule("stratified", seed=1)) == two


@pytest.mark.parametrize("seed", range(5))
def test_growth_moves_no_stored_row_and_keeps_the_shares(seed):
    labels = [label for label in drawn(seed, rows=400) if label >= 0]
    stored: list[str] = []
    for size in (3, 10, 50, 51, 52, 200, len(labels)):
        known = [*stored, *[None] * (size - len(stored))]
        splits = stratified(to_deal(labels[:size], stored=known), RULE)
        assert splits[: len(stored)] == stored
        stored = splits
    for label, found in counts(labels, stored).items():
        shares = [fraction * labels.count(label) for fraction in RULE.fractions]
        assert max(abs(share - number) for share, number in zip(shares, found, strict=True)) < 2, (
            label,
            found,
        )


def test_a_stored_row_keeps_its_split_whatever_its_label():
    labels, stored = [0] * 10 + [1] * 10, ["test"] * 10 + [None] * 10
    splits = stratified(to_deal(labels, stored=stored), RULE)
    assert splits[:10] == ["test"] * 10 and counts(labels[10:], splits[10:])[1] == [8, 1, 1]


@pytest.mark.parametrize("seed", range(5))
def test_groups_and_equal_images_stay_whole_and_shares_are_near(seed):
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 4, 600).tolist()
    groups = [f"patient {number}" if number < 60 else None for number in generator.integers(0, 90, 600)]
    numbers = np.where(generator.random(600) < 0.1, generator.integers(0, 600, 600), np.arange(600))
    rows = to_deal(labels, groups, digests=images(numbers))
    splits = stratified(rows, RULE)
    for keys in (groups, rows.digests):
        found = defaultdict(set)
        for key, split in zip(keys, splits, strict=True):
            found[key].add(split)
        assert {key: names for key, names in found.items() if key and len(names) > 1} == {}
    for label, dealt in counts(labels, splits).items():
        shares = [fraction * labels.count(label) for fraction in RULE.fractions]
        assert max(abs(share - number) for share, number in zip(shares, dealt, strict=True)) <= 10, (
            label,
            dealt,
        )


def test_a_group_takes_in_new_rows_and_copies_follow_their_image():
    rows = to_deal(
        [0] * 4,
        ["a", "a", None, None],
        stored=["test", None, "validation", None],
        digests=images([1, 2, 3, 3]),
    )
    assert stratified(rows, RULE) == ["test", "test", "validation", "validation"]
    chained = to_deal([0] * 3, ["a", "a", None], digests=images([1, 2, 2]))  # by the group, then by the image
    assert len(set(stratified(chained, RULE))) == 1


def test_a_split_of_the_source_is_kept_and_shares_are_of_the_other_rows():
    labels, own = [0] * 20, ["test"] * 10 + [None] * 10
    splits = stratified(to_deal(labels, own=own, stored=["train"] * 10 + [None] * 10), RULE)
    assert splits[:10] == ["test"] * 10
    assert counts(labels[10:], splits[10:])[0] == [8, 1, 1]


def test_a_split_with_the_fraction_zero_gets_no_row():
    labels = drawn(0)
    assert set(stratified(to_deal(labels), SplitRule("stratified", (0.9, 0.1, 0)))) == {"train", "validation"}
    assert set(stratified(to_deal(labels), SplitRule("stratified", (0, 0, 1)))) == {"test"}


def test_unlabelled_rows_are_dealt_like_a_class():
    labels = [-1] * 50 + [0] * 50
    assert counts(labels, stratified(to_deal(labels), RULE)) == {-1: [40, 5, 5], 0: [40, 5, 5]}


def test_dealt_splits_are_frozen():
    """They stand in users' files, and a file that is made again should have the same."""
    labels = [0] * 12 + [1] * 6 + [-1] * 3
    letters = "".join(split[1] for split in stratified(to_deal(labels), SplitRule("stratified", seed=7)))
    assert letters == FROZEN


FROZEN = "rrrrrrarrrerarrrrerre"  # r: train, a: validation, e: test


@pytest.mark.parametrize(
    "fractions",
    [
        "0.8,0.1",
        "0.8,0.1,0.2",
        "0.8,0.3,-0.1",
        "80,10,10",
        "a,b,c",
        "",
        "nan,0.5,0.5",
        "inf,0,0",
        "0.8 0.1 0.1",
    ],
)
def test_fractions_that_are_none_are_refused(fractions):
    with pytest.raises(UsageError, match="add up to 1") as caught:
        parse_fractions(fractions)
    assert_four_parts(str(caught.value))
    assert caught.value.received


@pytest.mark.parametrize("fractions", [(0.8, 0.2), (0.5, 0.5, "0"), 0.8, None, (True, 0, 0), "abc"])
def test_fractions_in_python_are_three_numbers(fractions):
    with pytest.raises(UsageError, match="add up to 1"):
        SplitRule("stratified", fractions)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"name": "random"}, "no rule of splits 'random'"),
        ({"name": "stratified", "seed": -1}, "seed"),
        ({"name": "stratified", "seed": 1.0}, "seed"),
        ({"name": "stratified", "seed": True}, "seed"),
        ({"name": "hash", "seed": 3}, "go with the rule stratified"),
        ({"name": "hash", "fractions": (0.7, 0.2, 0.1)}, "go with the rule stratified"),
    ],
)
def test_a_rule_that_is_none_is_refused(values, message):
    with pytest.raises(UsageError, match=message) as caught:
        SplitRule(**values)
    assert_four_parts(str(caught.value))


def test_a_rule_is_the_same_after_json():
    rule = SplitRule("stratified", (1 / 3, 1 / 3, 1 / 3), 5)
    assert SplitRule.from_dict(rule.to_dict()) == rule
    assert replace(rule, seed=6) != rule and SplitRule() == HASH
