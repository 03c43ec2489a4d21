"""Which recipe is worth its time: the sample, comparisons, the front, the rounds, and the command."""

import json
import re
import shlex
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import assert_four_parts, draw_images, refused
from invoking import fail, invoke, succeed
from small import drawn_features, drawn_set
from typer.testing import CliRunner

from classify.frontier.advice import Place, commands, frontier_lines
from classify.frontier.budget import Budget, Cost
from classify.frontier.compare import Judged, adds_nothing, difference, error_of_mean, rows_to_tell
from classify.frontier.extraction import Speed, Workshop
from classify.frontier.figure import _limits, _ticks
from classify.frontier.front import Contender, alike, best_of, named, pairs_to_join, pareto
from classify.frontier.grid import Pass, Request, layers_worth_pooling, passes, sizes_of
from classify.frontier.race import Entrant, Race
from classify.frontier.record import begin, measured_on, read_frontier, speeds_of, write
from classify.frontier.sample import draw_sample, rounds_of, sampling_order
from classify.scores.cross_validation import CrossValidation, cross_validate, together
from data import HeadstartError
from data.sources.arrays import from_arrays
from data.sources.source import Row, as_source
from data.sources.subset import SomeRows
from data.splits import split_of
from extract.cli import app as extraction
from extract.recipe import Recipe
from extract.run.plan import Scan
from extract.run.scan import scan_source

TINY = ("--backbones", "smallnet", "--weights", "none", "--arithmetics", "float32")


def scanned(folder: Path):
    """Return a folder as a source, and its scan."""
    source = as_source(folder)
    return source, scan_source(source)


def source_of(rows: int, labels=(0, 1), **values):
    """Make a source of rows and a scan of it, without images."""
    made = [
        Row(
            f"{number:04d}",
            labels[number % len(labels)],
            **{key: value(number) for key, value in values.items()},
        )
        for number in range(rows)
    ]
    names = [f"class {number}" for number in range(max(labels) + 1)]
    source = SomeRows(from_arrays(np.zeros((len(names), 2, 2)), names), tuple(made))
    return source, Scan(made, [number.to_bytes(32, "little") for number in range(1, rows + 1)], {})


# Which passes


def test_what_takes_little_time_is_tried_first():
    found = passes(Request(backbones=("xception", "mobilenet")))
    assert [each.name for each in found[:5]] == [
        "mobilenet 112 px int8",
        "xception 150 px int8",
        "mobilenet 112 px bfloat16",
        "xception 150 px bfloat16",
        "xception 224 px int8",
    ]
    assert len(found) == 2 * 4 * 3 and len(set(found)) == len(found)
    exact = [each.name for each in found].index("xception 150 px float32")
    before = [each for each in found[:exact] if each.backbone == "xception" and each.size > 150]
    assert {each.arithmetic for each in before} == {"int8"}  # is bfloat16 worth it? float32 tells first


def test_sizes_that_a_backbone_does_not_take_are_not_in_its_grid(small_recipe):
    assert sizes_of("smallnet") == [16, 24, 32, 42]
    assert min(sizes_of("nasnetlarge")) >= 32


def test_layers_are_tried_alone_and_together():
    found = passes(Request(sizes=(150,), arithmetics=("float32",), layers=("a", "b", "avg_pool")))
    assert [each.layers for each in found] == [("avg_pool",), ("a",), ("b",), ("a", "b", "avg_pool")]
    assert shlex.join(found[-1].options()) == "--image-size 150 --layer a --layer b --layer avg_pool"


def test_layers_worth_pooling_are_the_ends_of_later_stages():
    assert layers_worth_pooling("xception") == ["add_10"]
    found = layers_worth_pooling("resnet50")
    assert found and all(name.startswith("conv") for name in found)


def test_other_layers_are_not_calibrated_unless_int8_is_all():
    request = Request(sizes=(150,), arithmetics=("float32", "int8"))
    found = passes(request, {"xception": ["add_10"]})
    assert [each.arithmetic for each in found if each.layers != ("avg_pool",)] == ["float32"] * 2
    found = passes(replace(request, arithmetics=("int8",), layers=("add_10",)))
    assert [each.layers for each in found] == [("avg_pool",), ("add_10",), ("add_10", "avg_pool")]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"backbones": ("xceptoin",)}, ("unknown backbone", "xception")),
        ({"arithmetics": ("int4",)}, ("unknown arithmetic", "bfloat16, float32, int8")),
        ({"sizes": (299, 70)}, ("70x70", "71 pixels or more", "--image-sizes")),
        ({"backbones": ("xception", "mobilenet"), "weights": "a.h5"}, ("one backbone",)),
    ],
)
def test_a_request_that_cannot_be_met_is_refused(values, words):
    refused(lambda: Request(**values), *words)


# The sample


def test_every_beginning_of_the_sample_is_stratified():
    labels = [0] * 600 + [1] * 300 + [2] * 30
    digests = [number.to_bytes(32, "little") for number in range(len(labels))]
    order = sampling_order(labels, digests, 0)
    assert sorted(order) == list(range(930))
    for rows in (93, 310, 620):
        counts = Counter(labels[place] for place in order[:rows])
        assert abs(counts[0] / counts[1] - 2) < 0.2
        assert counts[2] == pytest.approx(max(5, 30 * rows / 930), abs=2)
    assert Counter(labels[place] for place in order[:20])[2] >= 4  # a rare class can be judged early


def test_the_sample_comes_from_images_and_seed_and_not_from_their_order():
    source, scan = source_of(200)
    first = draw_sample(source, scan, 60)
    backwards = replace(scan, rows=scan.rows[::-1], digests=scan.digests[::-1])
    assert draw_sample(source, backwards, 60).rows == first.rows
    assert draw_sample(source, scan, 100).rows[:60] == first.rows
    assert draw_sample(source, scan, 60, seed=1).rows != first.rows
    more, wider = source_of(220)
    assert len(set(draw_sample(more, wider, 60).rows) & set(first.rows)) > 40


def test_rows_of_the_test_split_and_without_label_or_bytes_are_not_drawn():
    source, scan = source_of(300, split=lambda number: ("train", "validation", "test", None)[number % 4 - 1])
    rows = [replace(row, label=-1) if number < 9 else row for number, row in enumerate(scan.rows)]
    scan = replace(scan, rows=rows, digests=[None, *scan.digests[1:]])
    found = draw_sample(source, replace(scan, digests=[*scan.digests[:-1], None]), 600)
    assert len(found.rows) > 190 and scan.rows[-1] not in found.rows
    pairs = zip(found.rows, found.digests, strict=True)
    assert all(row.label >= 0 and split_of(row, digest) != "test" for row, digest in pairs)


def test_a_class_with_too_few_different_images_is_left_out():
    source, scan = source_of(100, labels=(0, 1), split=lambda number: "train")
    rare = [Row(f"rare {number}", 2, "train") for number in range(9)]
    scan = Scan([*scan.rows, *rare], [*scan.digests, *[b"%032d" % (number // 3) for number in range(9)]], {})
    source = SomeRows(from_arrays(np.zeros((3, 2, 2)), ["a", "b", "rare"]), tuple(scan.rows))
    found = draw_sample(source, scan, 60)  # nine images, three different ones
    assert found.left_out == ("rare",) and found.classes == 2


@pytest.mark.parametrize(
    ("rows", "labels", "wanted", "words"),
    [
        (40, (0,), 600, ("too few images", "class 0")),
        (16, (0, 1), 600, ("20 labelled", "received")),
        (60, tuple(range(20)), 600, ("20 classes",)),
        (900, tuple(range(20)), 60, ("--rows 60", "--rows 100")),
    ],
)
def test_a_source_that_shows_nothing_is_refused(rows, labels, wanted, words):
    source, scan = source_of(rows, labels, split=lambda number: "train")
    refused(lambda: draw_sample(source, scan, wanted), *words)


def test_rounds_grow_and_hold_every_class():
    assert rounds_of(600, 2) == (150, 300, 600)
    assert rounds_of(150, 2) == (150,)
    assert rounds_of(600, 25) == (300, 600)


def test_groups_and_copies_are_one_unit():
    copies = np.repeat(np.arange(20, dtype=np.uint8), 2)[:, np.newaxis] * np.ones(32, np.uint8)
    features = drawn_features(40, digests=copies)
    features = replace(features, groups=tuple("one" if row in (0, 5, 9) else "" for row in range(40)))
    units = together(features, np.arange(len(features.ids)))
    assert len({units[row] for row in (0, 1, 4, 5, 8, 9)}) == 1
    assert units[2] == units[3] != units[0] and len(np.unique(units)) == 18
    assert len(np.unique(together(drawn_features(40), np.arange(40)))) == 40


# Comparisons


def judged(rows=200, quality=2.0, seed=0, units=None) -> Judged:
    """Judge drawn probabilities: the higher the quality, the better they are."""
    y = np.arange(rows) % 2
    noise = np.random.default_rng(seed).normal(0, 1, rows)
    logit = np.where(y, 1, -1) * quality + 2 * noise
    proba = 1 / (1 + np.exp(-np.stack([-logit, logit], 1)))
    found = CrossValidation(y, proba, [], ("a", "b"), np.arange(rows))
    return Judged(found, np.arange(rows) if units is None else units)


def test_a_difference_is_of_the_same_rows():
    good, bad = judged(quality=3.0), judged(quality=1.5)
    found = difference(bad, good)
    assert found.log_loss.value == pytest.approx(bad.log_loss - good.log_loss)
    assert found.log_loss.low > 0 and not found.alike and not found.is_near
    assert found.accuracy.value < 0 and found.accuracy.high < 0
    back = difference(good, bad)
    assert back.log_loss.value == -found.log_loss.value and back.is_near and not back.alike
    assert difference(good, good).alike and difference(good, good).rows_to_tell is None
    paired = found.log_loss.high - found.log_loss.low
    other = difference(judged(quality=1.5, seed=1), good).log_loss
    assert paired < (other.high - other.low) / 2  # the noise of the rows is the same in both


def test_more_comparisons_need_wider_intervals():
    one, many = (difference(judged(), judged(seed=1), number) for number in (1, 20))
    width = [each.log_loss.high - each.log_loss.low for each in (one, many)]
    assert width[1] / width[0] == pytest.approx(3.023 / 1.96, abs=0.01)


def test_rows_that_belong_together_tell_less():
    values = np.random.default_rng(0).normal(size=50).repeat(4)
    assert error_of_mean(values, np.arange(50).repeat(4)) == pytest.approx(
        2 * error_of_mean(values, np.arange(200))
    )


def test_intervals_hold_the_true_difference():
    generator, held = np.random.default_rng(0), 0
    for _ in range(300):
        gaps = generator.exponential(1.0, 300) - 0.9
        error = error_of_mean(gaps, np.arange(300))
        held += abs(gaps.mean() - 0.1) <= 1.96 * error
    assert 0.92 <= held / 300 <= 0.98


def test_as_many_rows_as_are_said_do_tell():
    generator = np.random.default_rng(0)
    rows = rows_to_tell(0.1, 1 / 300**0.5, 300)
    gaps = generator.normal(0.1, 1, (1000, rows))
    low = gaps.mean(axis=1) - 1.96 * gaps.std(axis=1) / rows**0.5
    assert 0.75 <= (low > 0).mean() <= 0.85


def test_a_slower_one_adds_nothing_unless_it_may_be_better():
    good, bad, nearly = judged(quality=3.0), judged(quality=1.0), judged(quality=3.003)
    assert adds_nothing(bad, good, 5) and adds_nothing(good, good, 5) and adds_nothing(nearly, good, 5)
    assert not adds_nothing(good, bad, 5)
    assert not adds_nothing(good, bad, 5, same=True)
    assert adds_nothing(judged(quality=3.0, seed=1), good, 5, same=True)  # not clearly better
    assert not adds_nothing(judged(quality=3.0, seed=1), good, 5)  # nobody can tell


# The front


def contender(name: int, speed: float, quality: float, seed: int = 0) -> Contender:
    return Contender((Pass("xception", name, "int8"),), judged(quality=quality, seed=seed), speed, 8, 40.0)


def test_the_front_holds_what_none_beats():
    fast, middle, slow, worse = (
        contender(150, 80, 1.0),
        contender(224, 40, 2.0),
        contender(299, 20, 3.0),
        contender(389, 10, 2.5),
    )
    assert pareto([worse, slow, middle, fast]) == [fast, middle, slow]
    same = contender(300, 30, 3.0)
    assert pareto([fast, slow, same]) == [fast, same]  # as good, and faster


def test_the_one_that_is_named_is_within_the_limits():
    fast, middle, slow = contender(150, 80, 1.0), contender(224, 40, 2.0), contender(299, 20, 3.0)
    every = [fast, middle, slow]
    assert best_of(every) is slow and alike(every, [], slow) == [slow]
    assert named(every, Request(), 1200) is slow
    assert named(every, Request(budget=0.6), 1200) is middle  # 30 s, not 60
    assert named(every, Request(images_per_second=50), 1200) is fast
    words = (
        "fast enough",
        "100 images/s",
        "lower --images-per-second to less than 80.0",
        "--budget",
        "0.1 minutes for 1,200 images",
        "80.0 images/s",
        "15 s for all",
    )
    refused(lambda: named(every, Request(budget=0.1, images_per_second=100), 1200), *words)


def test_bfloat16_is_judged_by_the_speeds_of_its_own_backbone():
    costs = [
        Cost(Pass(backbone, 96, arithmetic), 1, Speed(speed, 64))
        for backbone, exact, near in (("xception", 72, 64), ("mobilenet", 396, 571))
        for arithmetic, speed in (("float32", exact), ("bfloat16", near))
    ]
    shop = SimpleNamespace(request=Request(backbones=("xception", "mobilenet")))
    race = Race(shop, Budget(None), print, {}, [])
    race._costs += costs
    assert "not worth it" in race._against(Pass("xception", 128, "bfloat16"), 60)
    assert not race._against(Pass("mobilenet", 128, "bfloat16"), 60)


def test_of_those_as_good_as_the_best_the_fastest_is_named():
    slow, fast = contender(299, 20, 3.0), contender(224, 40, 2.999)
    assert best_of([slow, fast]) is slow and named([slow, fast], Request(), 100) is fast
    assert alike([slow, fast], [], slow) == [slow, fast]


def test_what_was_stopped_is_alike_where_those_that_stopped_it_are():
    best, far = contender(299, 20, 3.0), contender(150, 80, 1.0)
    middle = replace(contender(300, 10, 2.999), behind=best)
    slow = replace(contender(301, 5, 2.998), behind=middle)
    worse = replace(contender(302, 5, 2.0), behind=best)
    elsewhere = replace(contender(151, 70, 1.0), behind=far)
    assert alike([best, far], [slow, worse, elsewhere, middle], best) == [best, middle, slow]


def test_pairs_are_of_the_best_and_of_different_features():
    int8 = contender(299, 20, 3.0)
    exact = replace(int8, passes=(Pass("xception", 299, "float32"),), images_per_second=10)
    others = [
        contender(150, 80, 1.0),
        contender(224, 40, 2.0),
        contender(96, 90, 0.5),
        contender(71, 99, 0.4),
    ]
    cut = replace(contender(299, 25, 2.9), passes=(Pass("xception", 299, "int8", ("add_10",)),))
    pairs = [tuple(one.passes[0].size for one in pair) for pair in pairs_to_join([int8, exact, cut, *others])]
    assert pairs == [(299, 224), (299, 150), (224, 150)]


# The rounds, with a workshop that computes nothing


class Shop:
    """Gives drawn features whose noise and speed depend on the pass."""

    folder = Path("nowhere")

    def __init__(
        self, request: Request, table: dict[int, tuple[float, float]], folder: Path, rows: int = 400
    ):
        self.request, self._table, self._folder = request, table, folder
        self.sample = draw_sample(*source_of(rows, split=lambda number: "train"), request.rows)
        self.calls: list[tuple[int, int]] = []
        self.clock, self._known = 0.0, {}

    def find_weights(self, backbone: str) -> None:
        if backbone != "xception":
            raise HeadstartError("nowhere", "weights", "none of them", "find some")

    def recipe(self, each: Pass) -> Recipe:
        if each.size not in self._table:
            raise HeadstartError("no weights", "weights", "none", "find some")
        return Recipe("xception", weights="00", image_size=(each.size, each.size), precision=each.precision)

    def path(self, each: Pass, recipe: Recipe) -> Path:
        return self._folder / f"{each.size}.h5"

    def extract(self, recipe: Recipe, path: Path, rows: int) -> Speed:
        self.calls.append((recipe.image_size[0], rows))
        path.write_bytes(b"features")
        speed, _ = self._table[recipe.image_size[0]]
        seconds = rows / (speed * (1 if recipe.precision == "float32" else 1.05))
        self.clock += seconds - self._known.get(recipe.key, 0.0)
        self._known[recipe.key] = seconds
        return Speed(rows, seconds)

    def features(self, path: Path, rows: int):
        size = int(path.stem)
        _, signal = self._table[size]
        noise = np.random.default_rng(size).normal(size=(len(self.sample.rows), 3)).astype(np.float32)
        y = np.array([row.label for row in self.sample.rows], np.int32)
        noise[:, 0] += signal * (2 * y - 1)
        return drawn_features(
            rows,
            X=noise[:rows],
            y=y[:rows],
            ids=tuple(row.id for row in self.sample.rows[:rows]),
            digests=np.array([list(digest) for digest in self.sample.digests[:rows]], np.uint8),
            splits=np.zeros(rows, np.int8),
            path=str(path),
            feature_sets=(drawn_set(3, image_size=(size, size)),),
        )

    def judge(self, features) -> Judged:
        from classify.heads.table import make_head

        return Judged(cross_validate(make_head("logistic", C=0.1), features, 5), np.arange(len(features.ids)))


@pytest.fixture
def race(tmp_path, monkeypatch):
    monkeypatch.setattr("classify.frontier.race.row_bytes", lambda path: 100.0)

    def run(table, budget=None, recorded=None, **request):
        said: list[str] = []
        request = {"rows": 400, "arithmetics": ("float32",), "sizes": tuple(sorted(table))} | request
        shop = Shop(Request(**request), table, tmp_path)
        made = Race(
            shop, Budget(budget, now=lambda: shop.clock), said.append, recorded or {}, passes(shop.request)
        )
        made.run()
        return made, said

    return run


def test_what_is_slow_and_clearly_behind_is_stopped_and_told(race):
    found, said = race({100: (80, 1.5), 200: (40, 0.2), 300: (20, 2.5)})
    assert [each.passes[0].size for each in found.stopped] == [200]
    assert found.stopped[0].behind.name == "xception 100 px float32" and found.stopped[0].judged.rows == 100
    assert (200, 400) not in found.shop.calls and (300, 400) in found.shop.calls
    assert any(line.startswith("stopped at 100 rows: xception 200 px") for line in said)
    assert {each.judged.rows for each in found.finished} == {400} and found.rows == 400


def test_what_is_worse_and_faster_is_not_stopped(race):
    found, _ = race({100: (80, 0.2), 300: (20, 2.5)})
    assert not found.stopped and len(found.finished) == 3  # with both joined
    joined = found.finished[-1]
    assert joined.images_per_second == pytest.approx(16) and joined.width == 6 and joined.row_bytes == 200


def test_what_cannot_be_tried_is_left_out_and_told(race):
    found, said = race({100: (80, 1.0)}, sizes=(100, 111))
    assert [(each.name, each.reason) for each in found.left_out] == [
        ("xception 111 px float32", "no weights: none")
    ]
    assert "left out: xception 111 px float32: no weights: none" in said
    refused(lambda: race({}, sizes=(111,)), "no weights")
    found, said = race({100: (80, 1.0)}, backbones=("resnet50", "xception"))
    assert [(each.name, each.reason) for each in found.left_out] == [("resnet50", "nowhere: none of them")]
    assert {each.passes[0].backbone for each in found.finished} == {"xception"}
    refused(lambda: race({100: (80, 1.0)}, backbones=("resnet50",)), "nowhere")


def test_images_that_go_during_the_work_are_told(race, monkeypatch):
    whole = Shop.features

    def fewer(shop, path, rows):
        return whole(shop, path, rows - 1 if path.stem == "300" else rows)

    monkeypatch.setattr(Shop, "features", fewer)
    found, _ = race({100: (80, 1.0), 300: (20, 1.0)})
    assert [each.name for each in found.left_out] == ["xception 300 px float32"]
    assert "did not get the images that other recipes got" in found.left_out[0].reason


def test_bfloat16_that_is_hardly_faster_is_left_out_of_larger_images(race):
    found, _ = race({100: (80, 1.0), 300: (20, 1.0)}, arithmetics=("bfloat16", "float32"))
    assert [each.name for each in found.left_out] == ["xception 300 px bfloat16"]
    assert "84.0 images/s at 100 px, where float32 has 80.0" in found.left_out[0].reason


def test_other_layers_are_tried_in_one_float_arithmetic(race):
    found, _ = race({100: (80, 1.0)}, arithmetics=("bfloat16", "float32"), layers=("a",))
    names = [each.name for each in found.left_out]
    assert names == ["xception 100 px float32 a", "xception 100 px float32 a+avg_pool"]


def test_a_budget_leaves_out_the_dear_ones_and_later_rounds(race):
    found, said = race({100: (8, 1.0), 300: (0.9, 1.0)}, budget=2)
    assert [each.name for each in found.left_out] == ["xception 300 px float32"]  # 112 s
    assert found.left_out[0].reason == "it does not fit the budget" and found.rows == 400
    few, said = race({100: (2, 1.0)}, budget=2)  # 50 s, then 50 s, then 100 s
    assert few.rows == 200 and "left out: 400 rows in the place of 200: they do not fit the budget" in said
    one, _ = race({100: (80, 1.0), 300: (20, 1.0)}, budget=0.01)  # 0.6 s, and the first one takes 1.25
    assert [each.name for each in one.finished] == ["xception 100 px float32"] and one.rows == 100
    assert "xception 300 px float32" in [each.name for each in one.left_out]


# The folder


def test_speeds_of_another_machine_are_measured_again(tmp_path):
    here = measured_on(None)
    known = {"speeds": {"k": [10, 2.0]}, "measured_on": here}
    assert speeds_of(known, None) == {"k": Speed(10, 2.0)}
    assert speeds_of(known, 1) == {}
    assert speeds_of({**known, "measured_on": {**here, "processor": "another"}}, None) == {}
    write(tmp_path / "f", known)
    assert speeds_of(begin(tmp_path / "f"), None) == {"k": Speed(10, 2.0)}


def test_a_folder_of_others_and_a_damaged_record_are_refused(tmp_path):
    (tmp_path / "notes").write_text("mine")
    refused(lambda: begin(tmp_path), "frontier", "notes")
    begin(tmp_path / "f")
    (tmp_path / "f" / "frontier.json").write_text("{")
    refused(lambda: begin(tmp_path / "f"), "frontier")
    assert (tmp_path / "notes").read_text() == "mine"


def test_of_several_measurements_the_one_over_the_most_images_counts():
    lucky, many, longer = Speed(32, 0.2), Speed(100, 10.0), Speed(100, 12.0)
    assert Speed.of_most([many, lucky, None]) == Speed.of_most([lucky, many]) == many
    assert Speed.of_most([many, longer, lucky]) == longer and Speed.of_most([None]) is None
    assert lucky.is_uncertain and Speed(100, 0.9).is_uncertain and Speed(63, 9.0).is_uncertain
    assert not Speed(64, 1.0).is_uncertain


def test_a_lucky_speed_of_before_does_not_stay(race):
    key = Recipe("xception", weights="00", image_size=(100, 100)).key
    found, _ = race({100: (80, 1.0)}, recorded={key: Speed(32, 0.01)})
    assert found.finished[0].images_per_second == pytest.approx(80) and found.speeds[key].images == 400
    assert not found.finished[0].is_uncertain
    found, _ = race({100: (80, 1.0)}, recorded={key: Speed(900, 10.0)})
    assert found.finished[0].images_per_second == 90
    few, _ = race({100: (80, 1.0)}, rows=40)
    assert few.finished[0].is_uncertain


def test_commands_name_all_that_opens_the_source():
    each = Pass("mobilenet", 112, "int8", ("a",))
    entrant = Entrant(each, Recipe("mobilenet", weights="00"), Path("f/it is.h5"))
    run, train = commands(Place("my photos", ("--root", "there"), "photos"), [entrant])
    assert run == (
        "python -m extract run 'my photos' -o photos-mobilenet-112-int8-a.h5 --backbone mobilenet"
        " --image-size 112 --quantization int8 --layer a --root there --reuse 'f/it is.h5'"
    )
    assert train == "python -m classify train photos-mobilenet-112-int8-a.h5"


def test_lines_name_the_fastest_that_is_alike_and_what_was_stopped():
    score = {"value": 0.5, "low": 0.25, "high": 0.75}
    gap = {"log_loss": score, "accuracy": score, "alike": True, "rows_to_tell": 9000}
    recipes = [
        {
            "name": name,
            "log_loss": score,
            "accuracy": score,
            "images_per_second": speed,
            "speed_is_uncertain": name == "d",
            "projected": {"seconds": 90.0, "bytes": 1e6},
            "on_front": name == "a",
            "against_best": None if name == "c" else {**gap, "alike": name != "a"},
        }
        for name, speed in (("a", 90.0), ("b", 30.0), ("c", 10.0), ("d", 20.0))
    ]
    stopped = [{"name": name, "rows": 150, "behind": "b"} for name in ("e", "f")]
    found = {
        "recipes": recipes,
        "stopped": stopped,
        "left_out": [{"name": name, "reason": "no weights"} for name in "gh"],
    }
    found |= {
        "best": "c",
        "alike": ["c", "b", "d", "e"],
        "named": "c",
        "commands": ["one", "two"],
        "rows": 600,
    }
    found |= {"unreadable": 0, "classes": 2, "images": 1000, "comparisons": 5, "figure": "f.png"}
    lines = frontier_lines(found)
    for line in (
        "best: c; these rows cannot tell it from b, d, 1 of those that were stopped",
        "the fastest of these: b",
        "stopped at 150 rows, adding nothing to b: e, f",
        "left out: g, h: no weights",
        "named: c",
        "next: one",
        "then: two",
    ):
        assert line in lines
    table = lines[lines.index(next(line for line in lines if line.startswith("compared with c"))) :]
    assert any(line.startswith("  a ") and line.endswith("told apart") for line in table)
    assert any(line.startswith("  b ") and line.endswith("about 9,000") for line in table)
    recipes[2]["images_per_second"] = 40.0
    assert "the fastest of these: c" in frontier_lines(found), "the best is one of these"
    told = "not tried: efficientnetlite0 and efficientnetlite2, made for CPUs: --backbones xception,"
    for backbones, is_told in ((["xception"], True), (["xception", "efficientnetlite2"], False)):
        found["recipes"][0]["passes"] = [{"backbone": each} for each in backbones]
        assert any(line.startswith(told) for line in frontier_lines(found)) is is_told
    told = [line for line in lines if "~" in line]
    assert len(told) == 2 and "~20.0" in told[0] and "fewer than 64 images" in told[1]


# The command


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    """150 drawn images in three classes."""
    return draw_images(tmp_path_factory.mktemp("frontier") / "photos", ("a", "b", "c"), each=50)


@pytest.fixture(scope="module")
def first(photos, small_recipe):
    """What the command prints as JSON, of images without features."""
    done = invoke("frontier", photos, "-o", photos.with_name("kept"), *TINY, "--rows", 90, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_the_document_holds_scores_costs_and_comparisons(first, photos):
    assert first["rows"] == 90 and first["images"] == 150 and first["classes"] == 3
    single = [each for each in first["recipes"] if len(each["passes"]) == 1]
    assert {each["passes"][0]["image_size"] for each in single} == {16, 24, 32, 42}
    for each in first["recipes"]:
        assert each["log_loss"]["low"] <= each["log_loss"]["value"] <= each["log_loss"]["high"]
        assert each["projected"]["seconds"] == pytest.approx(
            150 / each["images_per_second"], rel=0.1, abs=0.06
        )
        assert each["projected"]["bytes"] > 150 * 4 * each["width"]
        assert (each["against_best"] is None) == (each["name"] == first["best"])
    assert any(len(each["passes"]) == 2 for each in first["recipes"])
    front = [each for each in first["recipes"] if each["on_front"]]
    losses = [each["log_loss"]["value"] for each in front]  # the fastest first
    assert losses == sorted(losses, reverse=True) and first["best"] in {each["name"] for each in front}
    assert first["named"] in {each["name"] for each in first["recipes"]} and first["best"] in first["alike"]
    from PIL import Image

    assert Image.open(first["figure"]).width > 1000


def test_a_second_frontier_computes_nothing_and_says_the_same(first, photos, seen):
    words = ("frontier", photos, "-o", photos.with_name("kept"), *TINY, "--rows", 90, "--json")
    second = json.loads(invoke(*words).stdout)
    assert not sum(seen)

    def without_times(found):
        kept = ("name", "rows", "log_loss", "accuracy", "width", "passes")
        return {each["name"]: {key: each[key] for key in kept} for each in found["recipes"]}

    assert without_times(second) == without_times(first) and second["best"] == first["best"]
    again = json.loads(invoke(*words[:-3], "--rows", 60, "--json").stdout)
    assert again["rows"] == 60 and not sum(seen)
    more = json.loads(invoke(*words[:-3], "--rows", 120, "--image-sizes", "16", "--json").stdout)
    assert more["rows"] == 120 and sum(seen) == 30  # the rows of before stay, and are known


def test_the_line_that_follows_computes_the_other_images_alone(first, photos, seen, monkeypatch):
    monkeypatch.chdir(photos.parent)
    one = next(each for each in first["recipes"] if len(each["passes"]) == 1)
    entry = one["passes"][0]
    each = Pass("smallnet", entry["image_size"], entry["arithmetic"])
    recipe = Recipe.for_backbone("smallnet", weights="none", image_size=entry["image_size"])
    assert recipe.key == entry["recipe_key"]
    place = Place(str(photos), ("--weights", "none"), "all")
    run, _ = commands(place, [Entrant(each, recipe, Path(entry["file"]))])
    known = json.loads(CliRunner().invoke(extraction, ["info", entry["file"], "--json"]).stdout)["rows"]
    done = CliRunner().invoke(extraction, [*shlex.split(run)[3:], "--json"])
    report = json.loads(done.stdout)
    assert report["reused_from"]["others"] == known >= 90 and report["computed"] == 150 - known == sum(seen)


def test_the_table_tells_all_of_it(first, photos):
    printed = invoke("frontier", photos, "-o", photos.with_name("kept"), *TINY, "--rows", 90).stdout
    for each in first["recipes"]:
        assert each["name"] in printed
    for words in (
        "cross-validated on 90 rows in 3 classes",
        "are projected",
        "best: ",
        "named: ",
        "next: python -m",
    ):
        assert words in printed
    assert "--reuse" in printed and "frontier.png" in printed


def test_layers_are_cut_and_named_in_the_line_that_follows(photos, tmp_path, monkeypatch, small_recipe):
    monkeypatch.chdir(tmp_path)
    words = ("--image-sizes", 16, "--rows", 60, "--layer", "block2_relu", "--json")
    found = json.loads(invoke("frontier", photos, *TINY, *words).stdout)
    widths = {tuple(each["passes"][0]["layers"]): each["width"] for each in found["recipes"]}
    assert widths == {("avg_pool",): 64, ("block2_relu",): 32, ("block2_relu", "avg_pool"): 96}
    assert not found["left_out"]


@pytest.mark.parametrize("name", ["block2_rleu", ""])
def test_a_layer_that_no_backbone_has_is_refused_before_any_work(photos, tmp_path, small_recipe, name):
    folder = tmp_path / "kept"
    told = fail("frontier", photos, *TINY, "-o", folder, "--layer", "block2_relu", "--layer", name)
    assert f"unknown layer {name!r}" in told and "block2_relu" in told and not folder.exists()


def test_what_some_backbones_lack_is_left_out_of_these(photos, tmp_path, small_recipe):
    tiny = ("--backbones", "smallnet,mobilenet", "--weights", "none", "--arithmetics", "float32")
    words = ("--image-sizes", "16,32", "--layer", "block2_relu", "--rows", 60, "-o", tmp_path, "--json")
    found = json.loads(invoke("frontier", photos, *tiny, *words).stdout)
    assert {each["name"]: each["reason"] for each in found["left_out"]} == {
        "mobilenet 16 px": "it takes 32 pixels or more",
        "mobilenet block2_relu": "it has no layer of that name",
    }
    tried = [each["name"] for each in found["recipes"] + found["stopped"] if len(each["passes"]) == 1]
    assert sorted(tried) == [
        "mobilenet 32 px float32",
        *(
            f"smallnet {size} px float32{layers}"
            for size in (16, 32)
            for layers in ("", " block2_relu", " block2_relu+avg_pool")
        ),
    ]


def test_layers_by_name_beside_those_worth_pooling_are_refused(photos, tmp_path):
    words = ("-o", tmp_path / "kept", "--layers", "--layer", "block2_relu")
    told = fail("frontier", photos, *TINY, *words, code=2)
    assert "--layers and --layer block2_relu" in told and not (tmp_path / "kept").exists()


def test_the_recipes_of_another_source_are_replaced_with_a_word(photos, tmp_path, small_recipe):
    words = ("-o", tmp_path / "kept", *TINY, "--image-sizes", "16", "--rows", "30")
    other = shutil.copytree(photos, tmp_path / "others")
    assert "take their place" not in invoke("frontier", photos, *words).stderr
    assert "take their place" not in invoke("frontier", photos, *words).stderr
    told = " ".join(invoke("frontier", other, *words).stderr.split())
    assert f"kept holds the recipes of {str(photos)!r}; those of {str(other)!r} take their place" in told


def test_what_is_interrupted_keeps_features_and_says_so(photos, tmp_path, monkeypatch, small_recipe, seen):
    words = ("frontier", photos, "-o", tmp_path / "kept", *TINY, "--image-sizes", "16", "--rows", "30")
    with monkeypatch.context() as patched:
        patched.setattr(Workshop, "judge", interrupted)
        done = invoke(*words)
    assert done.exit_code == 130 and f"kept in {tmp_path / 'kept'}: the same line goes on" in done.output
    computed = sum(seen)
    assert invoke(*words).exit_code == 0 and sum(seen) == computed > 0


def interrupted(*_):
    raise KeyboardInterrupt


def test_the_report_shows_the_front(first, photos, small_bundle, small_file, tmp_path):
    kept = photos.with_name("kept")
    words = ("report", small_bundle, small_file, "--no-images", "-o", tmp_path / "r.html")
    succeed(*words, "--frontier", kept)
    page = (tmp_path / "r.html").read_text()
    recorded = json.loads((kept / "frontier.json").read_text())
    for each in recorded["recipes"]:
        assert f">{each['name']}<" in page
    assert recorded["source"] == str(photos) and f"of {photos}, on the machine" in page
    assert f"{recorded['named']} is named" in page and "data:image/png;base64,iVBOR" in page
    succeed(*words)
    assert "Which recipe" not in (tmp_path / "r.html").read_text()
    assert "no finished frontier" in fail(*words, "--frontier", tmp_path)


def test_what_the_user_got_wrong_is_one_message(photos, tmp_path, monkeypatch, small_recipe):
    monkeypatch.chdir(tmp_path)
    draw_images(tmp_path / "one", ("a",), each=30)
    draw_images(tmp_path / "few", each=8)
    for words, told in (
        (("one", *TINY), "too few images to compare recipes"),
        (("few", *TINY), "too few images to compare recipes"),
        ((photos, *TINY, "--image-sizes", "7"), "7x7 pixels are too small for smallnet"),
        ((photos, *TINY, "--image-sizes", "16", "--budget", "1e-6"), "the budget is too small"),
    ):
        done = invoke("frontier", *words)
        said, _, error = done.stderr.rpartition("error: ")
        assert done.exit_code == 1 and told in error and "error" not in said
        assert_four_parts(error)
    for words in (
        ("--rows", "5"),
        ("--budget", "0"),
        ("--images-per-second", "-1"),
        ("--image-sizes", "9x9"),
    ):
        fail("frontier", photos, *TINY, *words, code=2)


@pytest.mark.parametrize("as_json", [False, True])
def test_limits_that_nothing_meets_leave_the_table(photos, tmp_path, monkeypatch, small_recipe, as_json):
    monkeypatch.chdir(tmp_path)
    words = (*TINY, "--image-sizes", "16", "--images-per-second", "1e8", "--rows", 60)
    done = invoke("frontier", photos, *words, *(["--json"] if as_json else []))
    error = done.stderr.rpartition("error: ")[2]
    assert done.exit_code == 1 and "no recipe that was tried" in error
    assert "lower --images-per-second to" in error and "--budget" not in error
    assert_four_parts(error)
    if as_json:
        found = json.loads(done.stdout)
        assert found["named"] is None and found["commands"] == [] and len(found["recipes"]) == 1
        assert found["unmet"]["happened"] in error
        refused(lambda: read_frontier(Path("photos-frontier")), "no recipe was within the limits")
    else:
        assert "smallnet 16 px float32" in done.stdout and "named: none" in done.stdout
        assert "the only one that was tried" in done.stdout and "from all others" not in done.stdout


@pytest.mark.parametrize("speed", [9.99, 30.0, 47.2, 50.0, 5000.0])
def test_the_axis_of_a_single_recipe_has_numbers(speed):
    ticks = _ticks([speed])
    low, high = _limits([speed], ticks)
    assert low < high and low <= speed <= high and any(low <= tick <= high for tick in ticks)


def test_groups_stay_together_and_broken_images_are_left_out(photos, tmp_path, small_recipe):
    folder = draw_images(tmp_path / "images", each=40)
    drawn = len(draw_sample(*scanned(folder), 80).rows)
    names = [row.id for row in draw_sample(*scanned(folder), 80).rows]
    (folder / names[0]).write_bytes(b"no image")
    words = ("-o", tmp_path / "kept", *TINY, "--image-sizes", "16", "--rows", "80", "--json")
    found = json.loads(invoke("frontier", folder, *words).stdout)
    assert (found["rows"], found["unreadable"]) == (drawn - 1, 1)
    assert {each["rows"] for each in found["recipes"]} == {drawn - 1}
    for name in names[:16]:
        (folder / name).write_bytes(f"no image {name}".encode())
    done = invoke("frontier", folder, *words[:-1])  # more than a run takes by default
    assert done.exit_code == 0, done.output
    (told,) = (line for line in done.stdout.splitlines() if "cannot be read" in line)
    bad, rows = map(int, re.findall(r"[0-9]+", told))
    assert bad >= 8 and "--max-bad" in told
    assert f"cross-validated on {rows - bad} rows" in done.stdout and "max-bad" not in done.stderr


@pytest.mark.slow
def test_int8_is_calibrated_on_all_images_so_that_the_run_has_its_recipe(photos, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tiny = ("--backbones", "mobilenet", "--weights", "none", "--arithmetics", "int8", "--image-sizes", "32")
    found = json.loads(invoke("frontier", photos, *tiny, "--rows", "60", "--json").stdout)
    words = shlex.split(found["commands"][0])[3:]
    report = json.loads(CliRunner().invoke(extraction, [*words, "--json"]).stdout)
    assert report["reused_from"]["others"] == 60 and report["rows"] == 150
