"""The bench command: that it runs and adds up, not how fast it is."""

import json
import platform
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from conftest import run_command
from typer.testing import CliRunner

from data import open_source
from data.machine import cpu
from data.sources.arrays import from_arrays
from extract import Options
from extract.cli import app
from extract.engines.limit import _product, matrix_product
from extract.model_files.core import cpu_core
from extract.run.bench import bench, benches

VNNI = {"avx512_vnni", "avx_vnni"}
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


def benched(images, *words):
    """Run the command in this process."""
    done = CliRunner().invoke(app, ["bench", str(images), *TINY, "--repeats", "1", *words])
    assert done.exit_code == 0, done.output
    return done


def test_the_table(images):
    done = benched(images, "--engine", "keras", "--threads", "1")
    lines = done.stdout.splitlines()
    assert lines[0].startswith("keras ") and "1 thread, batches of 32; 6 images" in lines[0]
    assert [line.split()[-1] for line in lines if line.startswith("Keras' own")] == ["1.00"]
    assert "of the engine alone" in lines[-2]
    assert lines[-1] in ("bottleneck: engine", "bottleneck: decode", "bottleneck: read")


def test_images_that_are_left_out_are_named(images):
    """Not counted silently among those that were asked for."""
    for name in ("aaa", "zzz"):  # the first and the last are always among those that are measured
        (images / "blue" / f"{name}.png").write_text("no image")
        (images / "red" / f"{name}.png").write_text("no image")
    words = ("--engine", "openvino", "--images", "20")
    done = benched(images, *words)
    assert done.stderr.count("rejected: ") == 4 and "rejected: blue/aaa.png: " in done.stderr
    assert done.stdout.splitlines()[-2] == "left out: 4 images that cannot be decoded"
    values = json.loads(benched(images, *words, "--json").stdout)
    assert (values["images"], len(values["rejections"])) == (16, 4)
    assert values["rejections"][0][0] == "blue/aaa.png" and values["rejections"][0][1]


def test_the_command_takes_layers(images):
    done = benched(images, "--engine", "openvino", "--layer", "conv_pw_1_relu", "--json")
    assert json.loads(done.stdout)["gflop"] == pytest.approx(0.0236 * 0.0707, rel=0.05)


def test_the_gflop_are_those_of_the_cut_model(tiny_recipe, images):
    options = Options("openvino", threads=1)
    cut, whole = benches(
        open_source(str(images)),
        [replace(tiny_recipe, layers=("conv_pw_1_relu",)), tiny_recipe],
        options,
        images=2,
        repeats=1,
    )
    assert cut.gflop / whole.gflop == pytest.approx(0.0707, abs=1e-3)


@pytest.mark.parametrize(
    ("change", "limit"),
    [
        ({}, "numpy float32"),
        ({"precision": "float16"}, "numpy float32"),
        ({"precision": "bfloat16"}, "OpenVINO bfloat16"),
        ({"quantization": "int8", "calibration": "-"}, "OpenVINO int8"),
    ],
)
def test_the_limit_is_a_product_in_the_arithmetic_of_the_recipe(tiny_recipe, monkeypatch, change, limit):
    monkeypatch.setattr("extract.engines.limit._SIDE", 64)
    name, measure = matrix_product(replace(tiny_recipe, **change), 1)
    assert name == limit
    assert measure() > 0


@pytest.mark.skipif(
    not set(cpu().instruction_sets) & {"avx512_vnni", "avx_vnni"}, reason="needs a CPU with VNNI"
)
def test_int8_products_are_computed_in_int8():
    """Else OpenVINO would multiply floats, and the limit would be too low."""
    core = cpu_core()
    compiled = core.compile_model(_product("int8"), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    told = (operation.get_rt_info() for operation in compiled.get_runtime_model().get_ops())
    types = {each["layerType"].astype(str): each["primitiveType"].astype(str) for each in told}
    (types,) = [types[name] for name in PRODUCTS if name in types]
    assert types.lower().endswith("i8")


def test_several_recipes_share_what_is_the_same_for_all(tiny_recipe, images):
    several = [tiny_recipe, replace(tiny_recipe, pixel_limit=10**6)]
    one, other = benches(open_source(images), several, Options(), images=4, repeats=1)
    assert one.images_per_second["decode"] is other.images_per_second["decode"]
    assert one.images_per_second["engine"] is not other.images_per_second["engine"]


def test_arrays_are_benched_too(tiny_recipe):
    pixels = np.random.default_rng(0).integers(0, 256, (4, 8, 8), dtype=np.uint8)
    assert bench(from_arrays(pixels, ["x", "y"] * 2), tiny_recipe, images=4, repeats=1).images == 4


_FAULTS = """
import io, resource
import numpy as np
from PIL import Image
from extract.engines.pipeline import decode_ahead
from extract.recipe import Recipe
from types import SimpleNamespace

stream = io.BytesIO()
Image.fromarray(np.random.default_rng(0).integers(0, 256, (375, 500, 3), np.uint8)).save(stream, "JPEG")
recipe = Recipe("mobilenet", weights="00" * 32, image_size=(150, 150))
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    items = ((number, stream.getvalue()) for number in range(200))
    for _ in decode_ahead(SimpleNamespace(batch_size=2), recipe, items, 2):
        pass
    return (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / 200
faults()
print(faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
def test_an_image_is_decoded_into_memory_of_those_before_it():
    done = subprocess.run([sys.executable, "-c", _FAULTS], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 30
