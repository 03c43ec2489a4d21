"""Shortcuts are found where they were planted and nowhere else; odd images are odd."""

import io
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from conftest import draw_images
from PIL import Image
from small import drawn_features, drawn_set

from classify import HEADS
from classify.audit.odd_images import odd_images, odd_images_of
from classify.audit.shortcuts import EACH, VERDICTS, shortcut_lines, shortcuts, shortcuts_of
from classify.features.image_properties import NUMBERS, TEXTS, ImageProperties, image_properties, jpeg_quality
from classify.features.images import Images
from classify.features.property_values import property_values
from classify.scores.held_out import KindsHeldOut
from data import open_source
from data.sources.arrays import from_arrays
from data.sources.source import Row, Source
from extract.run.scan import scan_source

SEEDS = range(20)


def properties_of(features, seed=0, **planted):
    """Draw properties that have nothing to do with labels, but for those that are given."""
    generator, rows = np.random.default_rng(seed), len(features.y)
    numbers = {name: generator.normal(100, 20, rows) for name in NUMBERS}
    numbers["quality"] = generator.choice([75.0, 90.0, 95.0], rows)
    texts = {"format": ("JPEG",) * rows, "camera": tuple(generator.choice(["", "Canon", "Nikon"], rows))}
    numbers |= {name: planted[name] for name in planted if name in NUMBERS}
    texts |= {name: tuple(planted[name]) for name in planted if name in TEXTS}
    return ImageProperties(np.arange(rows), numbers, texts)


def weak_features(classes=2, rows=600, shift=1.2, **values):
    """Draw features that tell some of the classes, in as many columns as there are classes."""
    features = drawn_features(rows, classes, **values)
    X = np.random.default_rng(7).normal(size=(rows, 8)).astype(np.float32)
    X[np.arange(rows), features.y] += shift
    return replace(features, X=X, feature_sets=(drawn_set(8),))


def planted_quality(features, share, label=0, seed=3):
    """Return a quality of 40 in a share of one class, and where."""
    has = (features.y == label) & (np.random.default_rng(seed).random(len(features.y)) < share)
    quality = np.random.default_rng(seed).choice([75.0, 90.0, 95.0], len(features.y))
    return np.where(has, 40.0, quality), has


def by_name(found):
    return {each.name: each for each in found}


# What is planted is found


def test_a_quality_of_one_class_is_found_though_nothing_can_tell_what_heads_do_with_it():
    features = weak_features()
    quality, _ = planted_quality(features, 1.0)
    first = shortcuts_of(features, properties_of(features, quality=quality))[0]
    assert (first.name, first.kind, first.held_out) == ("JPEG quality", "untold", ())
    assert first.skill.low > 0.9 and first.skill.value <= first.skill.high
    finding = first.finding()
    assert finding.kind == "shortcut" and finding.label in features.class_names and finding.digest == ""
    assert "JPEG quality" in finding.reason and finding.score > 0.9


def test_a_head_that_relies_on_it_falls_where_it_never_saw_it():
    features = weak_features()
    quality, has = planted_quality(features, 0.5)
    features.X[has, 5] += 6  # as if a backbone saw the quality
    found = by_name(shortcuts_of(features, properties_of(features, quality=quality)))
    quality = found["JPEG quality"]
    value, worst = quality.worst
    assert quality.kind == "relied on" and "JPEG quality 40" in [name for name, _ in quality.held_out]
    assert worst.fall.low > 0.05 and worst.seen.value > worst.unseen.value
    assert worst.fall.value == pytest.approx(worst.seen.value - worst.unseen.value)
    assert worst.fall.low <= worst.fall.value <= worst.fall.high
    assert value in quality.verdict and "heads rely on it" in quality.verdict


def test_a_head_that_does_not_see_it_does_without():
    features = weak_features(rows=2000, shift=3)
    quality, _ = planted_quality(features, 0.5)
    found = by_name(shortcuts_of(features, properties_of(features, quality=quality)))["JPEG quality"]
    assert found.kind == "unused" and found.finding()
    assert found.held_out[0][0] == EACH and abs(found.held_out[0][1].fall.value) < 0.02


def test_where_rows_are_few_the_verdict_says_that_nothing_can_be_told():
    features = weak_features(rows=200)
    quality, _ = planted_quality(features, 0.6)
    found = by_name(shortcuts_of(features, properties_of(features, quality=quality)))["JPEG quality"]
    assert found.kind == "untold" and "cannot be told" in found.verdict


def test_one_thin_class_of_many_is_told_from_the_others():
    features = weak_features(classes=5)
    y = features.y.copy()
    y[(y == 3) & (np.random.default_rng(0).random(len(y)) < 0.7)] = 2
    features = replace(features, y=y)
    quality, _ = planted_quality(features, 1.0, label=3)
    first = shortcuts_of(features, properties_of(features, quality=quality))[0]
    assert (first.name, first.class_name) == ("JPEG quality", features.class_names[3])
    assert first.told.value > 0.9 and first.mistaken.value < 0.05


def test_a_property_that_rises_and_falls_is_found():
    """One class has middle sizes: no line parts it from the other."""
    features = weak_features()
    size = np.where(features.y == 1, 100, np.where(np.arange(600) % 4 < 2, 20, 300)) + np.arange(600) % 7
    assert shortcuts_of(features, properties_of(features, bytes=size.astype(float)))[0].name == "file size"


@pytest.mark.parametrize("name, column", [("camera", "camera"), ("file format", "format")])
def test_texts_predict_too(name, column):
    features = weak_features()
    odd = (features.y == 0) & (np.arange(600) % 3 == 0)
    found = shortcuts_of(features, properties_of(features, **{column: np.where(odd, "ODD", "usual")}))
    assert found[0].name == name and found[0].skill.value == pytest.approx(odd.sum() / 300)
    assert f"{name} 'ODD'" in [value for value, _ in found[0].held_out]


def test_a_quality_that_only_one_class_has_none_of_is_found():
    """PNG files have no quality."""
    features = weak_features()
    quality = np.where(features.y == 0, np.nan, 90.0)
    assert shortcuts_of(features, properties_of(features, quality=quality))[0].name == "JPEG quality"


# Folders and groups need no images


def test_a_folder_below_classes_is_a_shortcut_and_the_class_itself_is_none():
    features = weak_features()
    sites = np.where(features.y == 0, np.arange(600) % 8 < 6, np.arange(600) % 8 < 2)
    ids = [
        f"train/{name.upper()}S/{'east' if site else 'west'}/{row}.jpg"
        for row, (name, site) in enumerate(
            zip(np.array(features.class_names)[features.y], sites, strict=True)
        )
    ]
    nowhere = Images(features.ids, features.digests)
    found = by_name(shortcuts(replace(features, ids=tuple(ids)), nowhere))
    assert set(found) == {"folder"} and found["folder"].skill.low > 0.3
    assert {value for value, _ in found["folder"].held_out} == {EACH, "folder 'east'", "folder 'west'"}
    plain = tuple(f"{features.class_names[label]}/{row}.jpg" for row, label in enumerate(features.y))
    assert shortcuts(replace(features, ids=plain), nowhere) == []
    numbered = tuple(f"{label}/{row}.jpg" for row, label in enumerate(features.y))
    assert shortcuts(replace(features, ids=numbered), nowhere) == []


def test_a_large_group_is_a_shortcut_and_a_burst_is_none():
    features = weak_features()
    site = np.where((features.y == 0) & (np.arange(600) % 4 < 2), "clinic", "field")
    found = by_name(shortcuts(replace(features, groups=tuple(site)), Images(features.ids, features.digests)))
    assert found["group"].finding() and "group" in found["group"].verdict
    bursts = tuple(f"{label}-{row // 8}" for row, label in enumerate(features.y))
    assert shortcuts(replace(features, groups=bursts), Images(features.ids, features.digests)) == []


def test_a_burst_of_like_images_predicts_nothing_of_other_bursts():
    """Brightness is that of the burst: by rows, a tree would know each label again."""
    features = weak_features()
    y = np.repeat(np.arange(60) % 2, 10)
    burst = np.repeat(np.random.default_rng(0).permutation(60), 10).astype(float)
    bursts = replace(features, y=y.astype(np.int32), groups=tuple(f"{number:.0f}" for number in burst))
    properties = properties_of(features, brightness=100 + 2 * burst, contrast=np.ones(600))
    assert by_name(shortcuts_of(bursts, properties))["brightness"].kind in ("none", "weak")
    alone = by_name(shortcuts_of(replace(bursts, groups=()), properties))
    assert (
        alone["brightness"].skill.value > by_name(shortcuts_of(bursts, properties))["brightness"].skill.value
    )


# Where nothing is planted nothing is found


@pytest.mark.parametrize("classes, rows", [(2, 300), (5, 400)])
def test_nothing_planted_gives_no_false_verdict(classes, rows):
    kinds = Counter()
    for seed in SEEDS:
        features = weak_features(classes, rows)
        found = shortcuts_of(features, properties_of(features, seed), seed)
        assert not [each.verdict for each in found if each.finding()]
        kinds.update(each.kind for each in found)
    assert kinds["none"] == len(SEEDS) * 7 - kinds["weak"] and kinds["weak"] <= 2


def test_what_all_images_share_and_what_is_unknown_is_told_as_such():
    features = weak_features()
    found = by_name(shortcuts_of(features, properties_of(features, quality=np.full(600, np.nan))))
    assert found["JPEG quality"].kind == found["file format"].kind == "same"
    assert "folder" not in found and "group" not in found
    assert found["JPEG quality"].verdict == "JPEG quality is the same in every image"


def test_the_same_seed_gives_the_same():
    features = weak_features()
    quality, _ = planted_quality(features, 0.5)
    properties = properties_of(features, quality=quality)
    assert shortcuts_of(features, properties) == shortcuts_of(features, properties)


def test_too_few_rows_tell_nothing():
    features = drawn_features(15)
    assert shortcuts_of(features, properties_of(features)) == []
    one = replace(drawn_features(50), y=np.zeros(50, np.int32))
    assert shortcuts_of(one, properties_of(one)) == []


def test_unlabelled_rows_and_thin_classes_are_left_out():
    features = weak_features(classes=3)
    y = features.y.copy()
    y[y == 2] = -1
    y[:4] = 2
    found = shortcuts_of(replace(features, y=y), properties_of(features))
    assert {each.rows for each in found} == {int((y >= 0).sum()) - 4}


def test_of_many_rows_a_sample_is_taken(monkeypatch):
    monkeypatch.setattr("classify.audit.shortcuts._MOST_TRAINED", 200)
    features = weak_features()
    quality, _ = planted_quality(features, 0.5)
    found = by_name(shortcuts_of(features, properties_of(features, quality=quality)))["JPEG quality"]
    assert found.rows == 600 and found.held_out[0][1].rows <= 200


def test_the_table_fits_a_terminal_and_json_says_all():
    features = weak_features()
    quality, has = planted_quality(features, 0.5)
    features.X[has, 5] += 6
    found = shortcuts_of(features, properties_of(features, quality=quality))
    lines = shortcut_lines(found)
    assert max(map(len, lines[: len(found) + 1])) <= 80 and lines[-1] == found[0].verdict
    values = found[0].to_dict()
    assert values["held_out"][0].keys() == {"value", "rows", "seen", "unseen", "fall"}
    assert values["skill"].keys() == {"value", "low", "high"} and values["verdict"] == found[0].verdict
    assert set(VERDICTS) >= {each.kind for each in found}


def test_a_class_that_a_fold_takes_whole_is_not_judged():
    """All its rows are one group: no head that is cross-validated can know it."""
    y = np.repeat([0, 1, 2], 40)
    X = np.eye(3)[y] + np.random.default_rng(0).normal(0, 0.1, (120, 3))
    folds = [(np.flatnonzero(y != 2), np.flatnonzero(y == 2))]
    folds += [
        (np.r_[rows, 80:120], np.setdiff1d(np.arange(80), rows))
        for rows in (np.r_[:20, 40:60], np.r_[20:40, 60:80])
    ]
    kinds = KindsHeldOut(HEADS["logistic"](), X, y, folds)
    seen, unseen = kinds.judge(np.arange(120) % 4 == 0)
    assert len(seen) == len(unseen) == 20 and seen.all() and unseen.all()


def test_folders_are_told_where_a_source_holds_none_of_the_images():
    features = weak_features()
    ids = tuple(f"{'east' if row % 3 else 'west'}/{row}.jpg" for row in range(600))
    images = Images.of(replace(features, ids=ids), open_source("digits"))
    assert [each.name for each in shortcuts(replace(features, ids=ids), images)] == ["folder"]


# Properties of image files


class Files(Source):
    """Bytes by name."""

    class_names, warnings = ("a",), ()

    def __init__(self, files):
        self.files = files
        self.rows = [Row(name, 0) for name in files]

    def describe(self):
        return {"kind": "files of a test"}

    def read(self, rows):
        yield from (self.files[row.id] for row in rows)


def read(**files):
    source = Files(files)
    digests = np.frombuffer(b"".join(scan_source(source).digests), np.uint8).reshape(-1, 32)
    return image_properties(Images(list(files), digests, source))


def encoded(form, size=(40, 20), colour=(200, 100, 50), **options):
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, form, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("quality", [1, 10, 40, 49, 50, 51, 75, 90, 95, 100])
def test_the_quality_is_that_of_the_encoder(quality):
    assert read(image=encoded("JPEG", quality=quality)).numbers["quality"] == [quality]


def test_tables_of_other_encoders_have_the_nearest_quality():
    near = np.array(Image.open(io.BytesIO(encoded("JPEG", quality=80))).quantization[0]) + np.arange(64) % 2
    assert 76 <= jpeg_quality(near.tolist()) <= 80


def test_sizes_are_those_that_are_seen_and_exif_names_the_camera():
    exif = Image.Exif()
    exif[0x0112], exif[0x010F], exif[0x0110] = 6, "Canon\0", "EOS 5D\n"
    found = read(turned=encoded("JPEG", exif=exif), straight=encoded("PNG"))
    assert found.numbers["width"].tolist() == [20, 40] and found.numbers["height"].tolist() == [40, 20]
    assert found.texts == {"format": ("JPEG", "PNG"), "camera": ("Canon EOS 5D", "")}
    assert np.isnan(found.numbers["quality"]).tolist() == [False, True]


def test_brightness_and_the_colour_of_the_border():
    pixels = np.zeros((64, 64, 3), np.uint8)
    pixels[8:-8, 8:-8] = 255
    pixels[:8] = pixels[-8:] = pixels[:, :8] = pixels[:, -8:] = (10, 200, 30)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    numbers = {name: column[0] for name, column in read(image=buffer.getvalue()).numbers.items()}
    assert [round(numbers[name]) for name in ("red", "green", "blue")] == [10, 200, 30]
    assert 180 < numbers["brightness"] < 220 and numbers["brightest"] == 255 and numbers["contrast"] > 40
    assert numbers["bytes"] == len(buffer.getvalue())


def test_what_is_gone_or_no_image_is_left_out():
    images = {"good": encoded("PNG"), "text": b"not an image", "half": encoded("JPEG")[:200]}
    found = read(**images)
    assert 0 in found.rows and 1 not in found.rows
    assert all(len(column) == len(found.rows) for column in found.numbers.values())
    nothing = image_properties(Images(["x"], np.zeros((1, 32), np.uint8)))
    assert len(nothing.rows) == 0 and set(nothing.numbers) == set(NUMBERS)


def test_rows_may_be_chosen_and_threads_change_nothing(tmp_path):
    source = open_source(draw_images(tmp_path / "images", each=150))
    digests = np.frombuffer(b"".join(scan_source(source).digests), np.uint8).reshape(-1, 32)
    images = Images([row.id for row in source.rows], digests, source)
    one, many = image_properties(images, threads=1), image_properties(images, threads=8)
    assert one.rows.tolist() == many.rows.tolist() == list(range(300))
    assert all(np.array_equal(one.numbers[name], many.numbers[name], equal_nan=True) for name in NUMBERS)
    some = image_properties(images, [250, 3])
    assert some.rows.tolist() == [3, 250] and some.numbers["bytes"][1] == one.numbers["bytes"][250]


def test_odd_images_of_every_kind_have_properties(shared):
    folder = shared / "odd_images" / "good"
    files = {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}
    found = read(**files)
    assert len(found.rows) == len(files) and (found.numbers["width"] >= 1).all()


def test_values_of_pictures_are_found_in_real_files(tmp_path):
    """Files of one class re-encoded at 40: from bytes to the verdict."""
    generator, pixels = np.random.default_rng(0), []
    files = {}
    for number in range(120):
        noise = Image.fromarray(generator.integers(0, 255, (16, 16, 3), np.uint8)).resize((64, 64))
        buffer = io.BytesIO()
        noise.save(buffer, "JPEG", quality=40 if number % 2 and number % 4 == 1 else 85)
        files[f"{number:04d}.png"] = buffer.getvalue()
        pixels.append(noise)
    features = weak_features(rows=120)
    source = Files(files)
    digests = np.frombuffer(b"".join(scan_source(source).digests), np.uint8).reshape(-1, 32)
    features = replace(features, ids=tuple(files), digests=digests)
    found = by_name(shortcuts(features, Images.of(features, source)))
    assert found["JPEG quality"].finding() and found["JPEG quality"].told.value >= 0.5
    assert found["image size"].kind == found["camera"].kind == "same"


def test_columns_of_every_property_have_a_row_each():
    features = weak_features(rows=100)
    rows = np.array([3, 50, 99])
    properties = properties_of(features)
    for values in property_values(features, properties, rows):
        assert len(values.X) == 3 and (values.texts is None or len(values.texts) == 3)


# Odd images


def odd(pixels, image_size=(16, 16)):
    """Return the findings of arrays by id."""
    source = from_arrays(pixels, ["a", "b"] * (len(pixels) // 2))
    digests = np.frombuffer(b"".join(scan_source(source).digests), np.uint8).reshape(-1, 32)
    features = replace(
        drawn_features(len(pixels)),
        ids=tuple(row.id for row in source.rows),
        digests=digests,
        feature_sets=(drawn_set(image_size=image_size),),
    )
    return features, odd_images(features, Images.of(features, source))


def test_dark_and_constant_images_are_odd_and_others_are_not():
    pixels = np.random.default_rng(0).integers(0, 255, (10, 16, 16), np.uint8)
    pixels[2], pixels[5], pixels[7] = 128, pixels[5] // 8, 0
    features, found = odd(pixels)
    assert {int(each.id) for each in found} == {2, 5, 7}
    assert [each.score for each in found] == sorted((each.score for each in found), reverse=True)
    reasons = {int(each.id): each.reason for each in found}
    assert "one colour" in reasons[2] and "dark" in reasons[5]
    assert "dark" in reasons[7] and "one colour" in reasons[7]
    assert found[0].digest == features.digests[int(found[0].id)].tobytes().hex()
    assert all(0 <= each.score <= 1 and each.kind == "odd image" and each.label for each in found)


def test_small_originals_are_odd_by_the_size_that_the_backbone_sees():
    features = drawn_features(10, ids=tuple(map(str, range(10))))
    width = np.full(10, 200.0)
    height = np.full(10, 150.0)
    width[4], height[6] = 100, 60
    properties = properties_of(features, width=width, height=height)
    features = replace(
        features, feature_sets=(drawn_set(image_size=(100, 100)), drawn_set(image_size=(150, 200)))
    )
    found = odd_images_of(features, properties)
    assert [(each.id, each.score) for each in found] == [("6", 0.6), ("4", 0.5)]
    assert found[0].reason == "200x60 pixels, enlarged 2.5 times"


def test_where_all_are_small_that_is_one_finding():
    pixels = np.random.default_rng(0).integers(0, 255, (10, 16, 16), np.uint8)
    pixels[2] = 0
    _, found = odd(pixels, (150, 150))
    whole, one = sorted(found, key=lambda each: each.id)
    assert (whole.id, whole.digest) == ("", "") and "10 of 10 images" in whole.reason
    assert one.id.endswith("2") and "enlarged" not in one.reason


def test_nothing_is_odd_where_images_are_gone():
    features = drawn_features(10)
    assert odd_images(features, Images(features.ids, features.digests)) == []
