"""One path is one path, and one name one name, wherever several are taken."""

from pathlib import Path

import numpy as np
import pytest
from conftest import draw_images, refused
from small import drawn_features

from classify import Bundle, load_features
from classify.finetuning.finetune import finetune
from classify.finetuning.live import train_live
from classify.selection.search import checked_heads
from classify.selection.trials import entries
from data import HeadstartError
from data.contact_sheet import preview as sheet
from data.lists import as_list
from data.sources.arrays import from_arrays
from extract import Options, Recipe, extract
from extract.run.bench import bench
from extract.run.calibrate import quantized
from extract.run.compare import compare
from extract.run.forecast import preview


@pytest.mark.parametrize("one", ["a.h5", Path("a.h5"), b"a.h5", 5, None])
def test_one_value_is_a_list_of_one(one):
    assert as_list(one) == [one]


def test_several_values_stay_several():
    assert as_list(("a", "b")) == as_list(iter("ab")) == ["a", "b"]


@pytest.mark.parametrize("form", [str, Path, lambda path: [path], lambda path: iter([path])])
def test_one_feature_file(tiny_file, form):
    assert load_features(form(tiny_file)).X.shape == (120, 1024)
    assert load_features(form(tiny_file), "avg_pool").feature_sets[0].layers == ("avg_pool",)


def test_a_second_file_in_the_place_of_the_layers(tiny_file):
    for second in ("b.h5", Path("b.h5"), ["b.h5"]):
        refused(
            lambda second=second: load_features(tiny_file, second), f"load_features(['{tiny_file}', 'b.h5'])"
        )
    refused(lambda: load_features([]), "no feature file")
    refused(lambda: load_features(tiny_file, "avgpool"), "unknown layer", "'avgpool'")


@pytest.mark.parametrize("form", [str, Path, lambda path: [path]])
def test_one_file_to_reuse(tiny_file, tiny_recipe, tmp_path, seen, form):
    source = tiny_file.parent / "images"
    assert preview(source, tiny_recipe, tmp_path / "out.h5", Options(reuse=form(tiny_file))).missing == 0
    report = extract(source, tiny_recipe, tmp_path / "out.h5", Options(reuse=form(tiny_file)))
    assert (report.rows, report.reused_from["others"], seen) == (120, 120, [])


def test_what_is_no_path_is_told():
    for wrong in (None, 3, ["a.h5", 3]):
        with pytest.raises(HeadstartError, match="loaded from feature files"):
            load_features(wrong)


def test_names():
    assert Recipe("xception", weights="00", layers="avg_pool") == Recipe("xception", weights="00")
    assert {entry.head for entry in entries("ridge")} == {"ridge"}
    assert checked_heads("ridge") == ["ridge"]
    refused(lambda: entries("rigde"), "'rigde'", "ridge")
    images = np.zeros((2, 8, 8), np.uint8)
    assert from_arrays(images, [0, 0], class_names="ab").class_names == ("ab",)
    refused(lambda: from_arrays(images, [0, 1], class_names="ab"), "labels do not fit")
    refused(lambda: from_arrays(images, "ab"), "one for each image")
    refused(lambda: drawn_features().split(["train", "validation"]), "unknown split")


def test_a_path_where_a_source_is_taken_is_opened(tiny_file, tiny_recipe, tmp_path):
    images = tiny_file.parent / "images"
    for number, source in enumerate((images, str(images))):
        assert extract(source, tiny_recipe, tmp_path / f"{number}.h5", Options(reuse=tiny_file)).rows == 120
        assert compare(tiny_file, source).sound
        assert len(sheet(source, tmp_path / "sheet.png").images) == 9


@pytest.mark.parametrize("source", [["a.png"], np.zeros((2, 8, 8)), None, 5])
def test_what_is_no_source(source, tiny_recipe, tiny_file, tiny_bundle, tmp_path):
    bundle, features = Bundle.load(tiny_bundle), load_features(tiny_file)
    calls = [
        lambda: extract(source, tiny_recipe, tmp_path / "out.h5"),
        lambda: preview(source, tiny_recipe, tmp_path / "out.h5"),
        lambda: compare(tiny_file, source),
        lambda: bench(source, tiny_recipe),
        lambda: quantized(tiny_recipe, source),
        lambda: sheet(source, tmp_path / "sheet.png"),
        lambda: finetune(bundle, source, tmp_path / "tuned"),
        lambda: train_live(features, source, tmp_path / "live"),
    ]
    for call in calls:
        refused(call, "no source of labelled images", "data.open_source")
    assert not any(tmp_path.iterdir())


def test_a_source_that_does_not_exist(tiny_recipe, tmp_path):
    refused(lambda: extract("photos", tiny_recipe, tmp_path / "out.h5"), "there is no source 'photos'")


def test_what_is_no_recipe(tmp_path):
    source = draw_images(tmp_path / "images", each=1)
    for call in (extract, preview):
        refused(lambda call=call: call(source, "xception", tmp_path / "out.h5"), "this is not a recipe")
    refused(lambda: bench(source, "xception"), "this is not a recipe")
