"""Int8: calibrated once, part of the recipe's identity, near float32."""

import numpy as np
import pytest
from conftest import assert_four_parts, draw_images

from data import HeadstartError, open_source
from extract import FeatureFile, Options, extract
from extract.engines import conversion as converted
from extract.engines.engine import chosen_engine, open_engine
from extract.run.calibrate import quantized

pytest.importorskip("nncf", reason="needs the extra int8")


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return open_source(draw_images(tmp_path_factory.mktemp("int8"), each=40))


@pytest.fixture(scope="module")
def recipe(tiny_recipe, source):
    return quantized(tiny_recipe, source)


def test_the_recipe_names_what_calibrated_it(recipe, tiny_recipe, source):
    assert (recipe.quantization, len(recipe.calibration)) == ("int8", 64)
    assert recipe.key != tiny_recipe.key
    assert chosen_engine(recipe) == "openvino"
    assert quantized(tiny_recipe, source) == recipe


def test_features_are_near_those_of_float32(recipe, tiny_recipe):
    pixels = np.random.default_rng(0).uniform(0, 255, (9, 32, 32, 3)).astype(np.float32)
    (exact,), (near,) = (open_engine("openvino", each)(pixels) for each in (tiny_recipe, recipe))
    cosines = (exact * near).sum(axis=1) / np.linalg.norm(exact, axis=1) / np.linalg.norm(near, axis=1)
    assert 0.9 < cosines.min() < 1 - 1e-6


def test_a_file_keeps_its_calibration_while_its_source_grows(recipe, tiny_recipe, tmp_path):
    folder = draw_images(tmp_path / "images", each=10)
    path = tmp_path / "out.h5"
    first = quantized(tiny_recipe, open_source(folder), path)
    extract(open_source(folder), first, path)
    draw_images(folder, each=5, first=10)
    grown = open_source(folder)
    assert quantized(tiny_recipe, grown, path) == first
    assert extract(grown, first, path).computed == 10
    assert FeatureFile(path).recipe.quantization == "int8"
    assert quantized(tiny_recipe, grown) != first


def test_a_float32_file_is_no_calibration(recipe, tiny_recipe, source, tiny_file):
    assert quantized(tiny_recipe, source, tiny_file) == recipe


def test_broken_images_do_not_calibrate(tiny_recipe, tmp_path):
    folder = draw_images(tmp_path / "images", each=3)
    expected = quantized(tiny_recipe, open_source(folder))
    (folder / "red/broken.png").write_bytes(b"no image")
    assert quantized(tiny_recipe, open_source(folder)) == expected
    (tmp_path / "bad/red").mkdir(parents=True)
    (tmp_path / "bad/red/broken.png").write_bytes(b"no image")
    with pytest.raises(HeadstartError) as caught:
        quantized(tiny_recipe, open_source(tmp_path / "bad"))
    assert_four_parts(str(caught.value))


def test_the_scan_that_calibrates_serves_the_run_too(recipe, tiny_recipe, source, tmp_path, monkeypatch):
    import extract.run.extract
    from extract.commands.run import _quantized

    found, scan = _quantized(tiny_recipe, "int8", None, source)
    assert found == recipe and len(scan.digests) == len(source.rows)
    monkeypatch.setattr(extract.run.extract, "scan_source", None)
    report = extract.run.extract.extract(source, found, tmp_path / "out.h5", Options(scan=scan))
    assert report.computed == len(set(scan.digests))


def test_where_the_model_is_not_in_the_cache_the_way_to_make_it_is_told(recipe, monkeypatch, tmp_path):
    monkeypatch.setattr(converted, "cache_folder", lambda: tmp_path)
    with pytest.raises(HeadstartError) as caught:
        open_engine("auto", recipe)
    assert_four_parts(str(caught.value))
    assert "--quantization int8" in str(caught.value)


def test_keras_does_not_compute_int8(recipe):
    with pytest.raises(HeadstartError, match="cannot compute with quantization int8"):
        open_engine("keras", recipe)
