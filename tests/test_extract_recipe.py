"""The recipe: its key is frozen, and every field counts."""

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

import numpy as np
import pytest
from conftest import assert_four_parts, draw_images, refused

from classify import Bundle
from data import HeadstartError, open_source
from extract import FeatureExtractor, FeatureFile, Recipe, extract
from extract.feature_file.verify import examine
from extract.recipe import _SUPPORTED, NEUTRAL

RECIPE = Recipe("xception", weights="ab" * 32)
OTHERS = {
    "backbone": "resnet50",
    "weights": "cd" * 32,
    "layers": ("avg_pool", "block4_sepconv2_bn"),
    "image_size": (150, 151),
    "scaling": "none",
    "exif_orientation": False,
    "alpha_background": (0, 0, 0),
    "pixel_limit": 1000,
    "views_seed": 1,
    "crop": 0.875,
}
INT8 = {"quantization": "int8", "calibration": "ee" * 32}


def test_key_is_frozen():
    """A feature file is found again by this key: should it change, every cache in the field is lost.

    Who must change it raises RECIPE_VERSION and says so in CHANGES.
    """
    assert RECIPE.key == "7901a917ca86a0f413060bb5d503e92cf7ea135144f3cbda8c9bea160521d749"


def test_key_is_the_same_in_another_process():
    code = f"from extract import Recipe; print(Recipe('xception', weights={'ab' * 32!r}).key)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == RECIPE.key


@pytest.mark.parametrize("name", [field.name for field in fields(Recipe) if field.name != "calibration"])
def test_every_field_changes_the_key_or_is_refused(name):
    if name in _SUPPORTED:
        with pytest.raises(HeadstartError) as caught:
            replace(RECIPE, **{name: "another"})
        assert_four_parts(str(caught.value))
        assert name in str(caught.value)
    else:
        changed = replace(RECIPE, **{name: OTHERS[name]})
        assert changed.key != RECIPE.key
        assert list(RECIPE.differences(changed)) == [(name, getattr(RECIPE, name), OTHERS[name])]


def test_the_images_that_calibrate_count():
    int8 = replace(RECIPE, **INT8)
    other = replace(int8, calibration="ff" * 32)
    assert len({RECIPE.key, int8.key, other.key}) == 3


@pytest.mark.parametrize("name", INT8)
def test_quantization_and_calibration_come_together(name):
    with pytest.raises(HeadstartError) as caught:
        replace(RECIPE, **{name: INT8[name]})
    assert_four_parts(str(caught.value))


@pytest.mark.parametrize(
    "change",
    [
        {"precision": "float16"},
        {"precision": "bfloat16"},
        {"decode_scale": "dct"},
        {"resize": "bicubic"},
        {"antialias": True},
        {"crop": 1},
        {"pooling": "cls"},
        {"pooling": "none"},
        {"scaling": "0.5/0.5"},
    ],
)
def test_values_besides_the_defaults_change_the_key(change):
    assert replace(RECIPE, **change).key != RECIPE.key


def test_json_round_trip_keeps_the_key():
    other = replace(RECIPE, layers=("avg_pool", "block4_sepconv2_bn"), image_size=(71, 299))
    assert Recipe.from_json(other.to_json()) == other
    assert Recipe.from_json(other.to_json()).key == other.key


def test_json_names_every_field_and_is_sorted():
    values = json.loads(RECIPE.to_json())
    assert list(values) == sorted(field.name for field in fields(Recipe) if NEUTRAL not in field.metadata)
    used = replace(RECIPE, antialias=True, crop=0.875)
    assert list(json.loads(used.to_json())) == sorted(field.name for field in fields(Recipe))


@pytest.mark.parametrize("change", [{"later": 1}, {"version": 2}])
def test_json_of_a_later_version_is_refused(change):
    with pytest.raises(HeadstartError) as caught:
        Recipe.from_json(json.dumps(json.loads(RECIPE.to_json()) | change))
    assert_four_parts(str(caught.value))


def test_lists_are_taken_as_tuples():
    assert Recipe("xception", weights="00", image_size=[150, 150]).image_size == (150, 150)


def test_recipe_of_a_backbone_has_its_scaling_and_size(tiny_recipe):
    assert (tiny_recipe.scaling, tiny_recipe.image_size) == ("minus_one_to_one", (32, 32))
    assert len(tiny_recipe.weights) == 64


@pytest.mark.parametrize("size", [31, (32, 31)])
def test_too_small_images_are_refused(size):
    with pytest.raises(HeadstartError, match="32 pixels or more"):
        Recipe.for_backbone("mobilenet", weights="none", image_size=size)


@pytest.mark.parametrize(
    "size", ["299", "299x299", 299.0, (299,), (299, 299, 3), 0, -1, (150, 0), True, [], None]
)
def test_what_is_no_size(size):
    calls = [lambda: Recipe("xception", weights="00", image_size=size)]
    if size is not None:  # the backbone's own
        calls.append(lambda: Recipe.for_backbone("mobilenet", weights="none", image_size=size))
    for call in calls:
        with pytest.raises(HeadstartError, match="not a size") as caught:
            call()
        assert_four_parts(str(caught.value))


@pytest.mark.parametrize("size", [150, np.int64(150), [150, 150], np.array([150, 150])])
def test_sizes_are_whole_numbers_of_python(size):
    recipe = Recipe("xception", weights="ab" * 32, image_size=size)
    assert recipe == RECIPE and recipe.key == RECIPE.key


@dataclass(frozen=True)
class Grown(Recipe):
    """A recipe of a later version, with a field that this one has not."""

    flips: str = field(default="both", metadata={NEUTRAL: "none"})


def test_a_neutral_field_changes_no_key():
    """What is stored under the keys of before is found by later versions."""
    old = Recipe("xception", weights="00")
    same, other = Grown("xception", weights="00", flips="none"), Grown("xception", weights="00")
    assert (same.to_json(), same.key) == (old.to_json(), old.key)
    assert other.key != old.key and json.loads(other.to_json())["flips"] == "both"
    assert Grown.from_json(old.to_json()) == same and Grown.from_json(other.to_json()) == other
    assert Recipe.from_json(same.to_json()) == old
    refused(lambda: Recipe.from_json(other.to_json()), "a recipe of another version", "differing in flips")


@pytest.fixture
def grown(small_recipe, monkeypatch):
    """The recipe of the stored files, as a version with one more field reads it."""
    for module in ("extract.feature_file.reader", "extract.feature_file.repair", "classify.bundle.folder"):
        monkeypatch.setattr(f"{module}.Recipe", Grown)
    return Grown.from_json(small_recipe.to_json())


@pytest.fixture
def old(tmp_path):
    """A copy of what version 0.1 left."""
    return Path(shutil.copytree(Path(__file__).parent / "files" / "0.1", tmp_path / "old"))


@pytest.mark.parametrize("name", ["photos.h5", "photos.shards"])
def test_files_of_before_the_field_are_extended(old, grown, name):
    assert FeatureFile(old / name).recipe == grown and FeatureFile(old / name).recipe.flips == "none"
    draw_images(old / "images" / "train", each=1, first=90)
    report = extract(open_source(old / "images"), grown, old / name)
    assert (report.rows, report.computed) == (42, 2)
    assert examine(old / name).sound
    flipped = replace(grown, flips="both")
    refused(lambda: extract(open_source(old / "images"), flipped, old / name), "flips=both, as asked for")


def test_parts_rows_and_bundles_of_before_the_field_are_used(old, grown, seen):
    report = extract(open_source(old / "images"), grown, old / "begun.h5")
    assert report.reused_from["parts"] == 16
    seen.clear()
    paths = sorted((old / "images").rglob("*.png"))[:4]
    FeatureExtractor(grown, old / "rows").transform(paths)
    assert seen == []
    bundle = Bundle.load(old / "heads" / "logistic")
    assert bundle.feature_sets[0].recipe == grown
    bundle.save(old / "again")
    assert "flips" not in (old / "again" / "bundle.json").read_text()
