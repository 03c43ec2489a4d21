"""The bench command: that it runs and adds up, not how fast it is."""

import json

import numpy as np
import pytest
from conftest import run_command

from data.sources.arrays import from_arrays
from extract.run.bench import bench

TINY = ["--backbone", "mobilenet", "--weights", "none", "--image-size", "32"]
TINY += ["--images", "6", "--repeats", "2"]


def test_the_command(images, tmp_path):
    done = run_command("extract", "bench", "images", *TINY, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    values = json.loads(done.stdout)
    speeds, medians = values["images_per_second"], values["medians"]
    assert list(speeds) == ["matrix_product", "engine", "decode", "pipeline", "keras"]
    assert all(len(series) == 2 and min(series) > 0 for series in speeds.values())
    assert values["ratios"]["pipeline"] == pytest.approx(medians["pipeline"] / medians["keras"])
    assert (values["images"], values["repeats"], values["engine"]["engine"]) == (6, 2, "openvino")
    assert values["gflop"] == pytest.approx(0.0236, rel=0.05)  # 1.15 at 224 pixels, as its authors say


def test_the_table(images, tmp_path):
    words = (*TINY, "--engine", "keras", "--threads", "1", "--repeats", "1")
    done = run_command("extract", "bench", "images", *words, cwd=tmp_path)
    lines = done.stdout.splitlines()
    assert lines[0].startswith("keras ") and "1 thread, batches of 32; 6 images" in lines[0]
    assert [line.split()[-1] for line in lines if line.startswith("Keras' own")] == ["1.00"]
    assert "of the engine alone" in lines[-1]


def test_arrays_are_benched_too(tiny_recipe):
    pixels = np.random.default_rng(0).integers(0, 256, (4, 8, 8), dtype=np.uint8)
    assert bench(from_arrays(pixels, ["x", "y"] * 2), tiny_recipe, images=4, repeats=1).images == 4
