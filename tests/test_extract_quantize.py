"""Int8: calibrated once, part of the recipe's identity, near float32."""

import os
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from conftest import CODE, assert_four_parts, draw_images
from typer.testing import CliRunner

from data import HeadstartError, open_source
from data.machine import cpu
from extract import FeatureFile, Options, extract
from extract.cli import app
from extract.engines import conversion as converted
from extract.engines.engine import chosen_engine, open_engine
from extract.engines.probe import check_probes
from extract.recipe import EngineInfo, Probe
from extract.run import forecast
from extract.run.calibrate import quantized
from extract.run.forecast import preview

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


def test_a_file_of_another_recipe_is_refused_before_the_calibration(
    tiny_recipe, source, tiny_file, monkeypatch
):
    monkeypatch.setattr("extract.run.calibrate._sample", None)
    with pytest.raises(HeadstartError, match="made by another recipe") as caught:
        quantized(tiny_recipe, source, tiny_file)
    assert "quantization=int8" in str(caught.value)


def test_int8_as_a_precision_names_its_option(tiny_recipe):
    with pytest.raises(HeadstartError, match="--quantization int8"):
        replace(tiny_recipe, precision="int8")


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
    from extract.commands.run import quantized_recipe

    found, scan = quantized_recipe(tiny_recipe, "int8", None, source)
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


RUN = """
import sys
from data import open_source
from extract import FeatureFile, Recipe, extract
extract(open_source(sys.argv[2]), Recipe.from_json(sys.argv[1]), sys.argv[3])
"""


@pytest.fixture(scope="module")
def by_older_cpu(recipe, tmp_path_factory):
    """A feature file that a process made which may use AVX2 alone."""
    if not {"avx_vnni", "avx512_vnni"} & set(cpu().instruction_sets):
        pytest.skip("this CPU has no VNNI to forbid")
    folder = tmp_path_factory.mktemp("older")
    words = (recipe.to_json(), draw_images(folder / "images", each=4), folder / "int8.h5")
    environment = {**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX2", "PYTHONPATH": str(CODE)}
    subprocess.run([sys.executable, "-c", RUN, *map(str, words)], env=environment, check=True)
    return folder


def test_rows_of_another_int8_arithmetic_are_not_continued(by_older_cpu, recipe, tmp_path):
    path = shutil.copyfile(by_older_cpu / "int8.h5", tmp_path / "int8.h5")
    before = path.read_bytes()
    images = open_source(draw_images(tmp_path / "images", each=5))
    with pytest.raises(HeadstartError, match="computes int8 by another arithmetic") as caught:
        extract(images, recipe, path)
    assert_four_parts(str(caught.value))
    assert "that saturate" in caught.value.expected and "VNNI" in caught.value.received
    assert path.read_bytes() == before
    stored = FeatureFile(path).engine(0)
    assert stored.arithmetic == caught.value.expected and "avx2" in dict(stored.others)["executed"]


def test_a_plan_refuses_another_int8_arithmetic_as_its_run_does(by_older_cpu, recipe, tmp_path):
    images = open_source(draw_images(tmp_path / "images", each=5))
    with pytest.raises(HeadstartError, match="computes int8 by another arithmetic"):
        preview(images, recipe, tmp_path / "new.h5", Options(reuse=(by_older_cpu / "int8.h5",)))


def test_the_probe_alone_tells_rows_whose_arithmetic_is_not_named(by_older_cpu, recipe):
    """As in files of before arithmetic was named."""
    engine, file = open_engine("openvino", recipe), FeatureFile(by_older_cpu / "int8.h5")
    unnamed = replace(file.probe_of(), engine=EngineInfo("openvino", "2026.4.1", "CPU"))
    with pytest.raises(HeadstartError, match="computes other features than those in"):
        check_probes(engine, recipe, [unnamed])
    named = Probe(
        "here", engine.describe(), dict(zip(["avg_pool"], check_probes(engine, recipe, []), strict=True))
    )
    check_probes(engine, recipe, [named])


def test_keras_does_not_compute_int8(recipe):
    with pytest.raises(HeadstartError, match="cannot compute with quantization int8"):
        open_engine("keras", recipe)


def test_a_large_plan_measures_int8(tiny_recipe, source, tmp_path, monkeypatch):
    monkeypatch.setattr(forecast, "WORTH", 80)
    found = preview(source, tiny_recipe, tmp_path / "new.h5").arithmetics
    assert {"int8"} <= found.keys() <= {"int8", "bfloat16"} and found["int8"] > 0
    monkeypatch.setattr(forecast, "WORTH", 81)
    assert preview(source, tiny_recipe, tmp_path / "new.h5").arithmetics == {}


@pytest.fixture
def never(monkeypatch):
    """Let a calibration fail that begins."""

    def begin(*_):
        raise AssertionError("calibrated before the refusal")

    monkeypatch.setattr("extract.run.calibrate._quantize", begin)


def refused_run(folder, *words) -> str:
    tiny = ["--backbone", "mobilenet", "--weights", "none", "--image-size", "32", "--quantization", "int8"]
    done = CliRunner().invoke(app, list(map(str, ["run", folder, *tiny, *words])))
    assert done.exit_code == 1, done.output
    assert_four_parts(done.stderr[done.stderr.index("error:") :])
    return done.stderr


def test_a_missing_nncf_is_told_before_the_calibration(never, tiny_recipe, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "nncf", None)
    folder = draw_images(tmp_path / "new", each=3, first=900)
    told = refused_run(folder, "-o", tmp_path / "new.h5")
    assert "int8 needs NNCF" in told and "calibrating" not in told


def test_what_a_run_refuses_it_refuses_before_the_calibration(never, tiny_file, tiny_recipe, tmp_path):
    folder = draw_images(tmp_path / "others", each=3, first=500)
    new = tmp_path / "new.h5"
    told = refused_run(folder, "-o", new, "--reuse", tiny_file)
    assert (
        "leave it out: --reuse takes rows of the same recipe alone" in told
        and "-o" not in told.split("do:")[1]
    )
    told = refused_run(folder, "-o", new, "--reuse", tiny_file, "--calibration", folder)
    assert "leave it out" in told
    told = refused_run(folder, "-o", tiny_file)
    assert "choose another output for this recipe: -o OTHER.h5" in told and "--reuse" not in told
    (tmp_path / "file").write_text("none")
    assert "which is no folder" in refused_run(folder, "-o", tmp_path / "file" / "new.h5")
    assert "'" + str(tmp_path) + "' cannot be written" in refused_run(folder, "-o", tmp_path)


def test_a_cache_that_takes_nothing_is_told_before_the_calibration(never, tiny_recipe, monkeypatch, tmp_path):
    source = open_source(draw_images(tmp_path / "more", each=3, first=600))
    (tmp_path / "file").write_text("none")
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(HeadstartError, match="HEADSTART_CACHE"):
        quantized(tiny_recipe, source)
