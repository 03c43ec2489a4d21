"""The bench command: that it runs and adds up, not how fast it is."""

import json
from dataclasses import replace

import numpy as np
import pytest
from conftest import run_command

from data import open_source
from data.sources.arrays import from_arrays
from extract import Options
from extract.engines.conversion import quiet_openvino
from extract.engines.limit import _product, matrix_product
from extract.run.bench import bench, benches

PRODUCTS = ("FullyConnected", "MatMul")

TINY = ["--backbone", "mobilenet", "--weights", "none", "--image-size", "32"]
TINY += ["--images", "6", "--repeats", "2"]


def test_the_command(images, tmp_path):
    done = run_command("extract", "bench", "images", *TINY, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    values = json.loads(done.stdout)
    speeds, medians = values["images_per_second"], values["medians"]
    assert list(speeds) == ["matrix_product", "engine", "decode", "read", "pipeline", "keras"]
    assert all(len(series) == 2 and min(series) > 0 for series in speeds.values())
    assert values["ratios"]["pipeline"] == pytest.approx(medians["pipeline"] / medians["keras"])
    assert (values["images"], values["repeats"], values["engine"]["engine"]) == (6, 2, "openvino")
    assert values["bottleneck"] == min(("engine", "decode", "read"), key=medians.get)
    assert values["limit"] == "numpy float32"
    assert values["gflop"] == pytest.approx(0.0236, rel=0.05)  # 1.15 at 224 pixels, as its authors say


def test_the_table(images, tmp_path):
    words = (*TINY, "--engine", "keras", "--threads", "1", "--repeats", "1")
    done = run_command("extract", "bench", "images", *words, cwd=tmp_path)
    lines = done.stdout.splitlines()
    assert lines[0].startswith("keras ") and "1 thread, batches of 32; 6 images" in lines[0]
    assert [line.split()[-1] for line in lines if line.startswith("Keras' own")] == ["1.00"]
    assert "of the engine alone" in lines[-2]
    assert lines[-1] in ("bottleneck: engine", "bottleneck: decode", "bottleneck: read")


@pytest.mark.parametrize(
    ("change", "limit"),
    [
        ({}, "numpy float32"),
        ({"precision": "float16"}, "numpy float32"),
        ({"precision": "bfloat16"}, "OpenVINO bfloat16"),
    ]
    + [({"quantization": "int8", "calibration": "-"}, "OpenVINO int8")],
)
def test_the_limit_is_a_product_in_the_arithmetic_of_the_recipe(tiny_recipe, monkeypatch, change, limit):
    monkeypatch.setattr("extract.engines.limit._SIDE", 64)
    name, measure = matrix_product(replace(tiny_recipe, **change), 1)
    assert name == limit
    assert measure() > 0


def test_int8_products_are_computed_in_int8():
    """Else OpenVINO would multiply floats, and the limit would be too low."""
    core = quiet_openvino().Core()
    compiled = core.compile_model(_product("int8"), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    told = [operation.get_rt_info() for operation in compiled.get_runtime_model().get_ops()]
    (types,) = [
        each["primitiveType"].astype(str) for each in told if each["layerType"].astype(str) in PRODUCTS
    ]
    assert types.lower().endswith("i8")


def test_several_recipes_share_what_is_the_same_for_all(tiny_recipe, images):
    several = [tiny_recipe, replace(tiny_recipe, dtype="float16")]
    one, other = benches(open_source(images), several, Options(), images=4, repeats=1)
    assert one.images_per_second["decode"] is other.images_per_second["decode"]
    assert one.images_per_second["engine"] is not other.images_per_second["engine"]


def test_arrays_are_benched_too(tiny_recipe):
    pixels = np.random.default_rng(0).integers(0, 256, (4, 8, 8), dtype=np.uint8)
    assert bench(from_arrays(pixels, ["x", "y"] * 2), tiny_recipe, images=4, repeats=1).images == 4
