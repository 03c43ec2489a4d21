"""Exported models: files that say what the head says, and what is refused before anything is written."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from test_classify_bundle import refused
from typer.testing import CliRunner

from classify import Bundle
from classify import export as exporting
from classify.cli import app
from classify.export import FORMATS, check_target, export, notes_on, sample_images

LOADED = """
import sys
import numpy as np, keras
for name in ("data", "extract", "classify"):
    sys.modules[name] = None  # importing it is an ImportError, also where it is installed
model = keras.saving.load_model(sys.argv[1], compile=False, safe_mode=True)
np.save(sys.argv[2], model.predict(np.load(sys.argv[3]), verbose=0))
"""


def test_the_command_writes_a_model_that_loads_without_headstart(small_bundle, tmp_path):
    words = ("export", small_bundle, "-o", tmp_path / "model.keras", "--json")
    done = CliRunner().invoke(app, list(map(str, words)))
    assert done.exit_code == 0, done.stderr
    values = json.loads(done.stdout)
    assert values["input_shape"] == [None, None, None, 3] and values["output_shape"] == [None, 2]
    assert values["largest_difference"] <= 1e-4 and values["checked_images"] == 16
    card = json.loads((tmp_path / "model.keras.json").read_text())
    assert card["class_names"] == list(Bundle.load(small_bundle).class_names)
    assert {path.name for path in tmp_path.iterdir()} == {"model.keras", "model.keras.json"}
    images = sample_images((40, 33))
    np.save(tmp_path / "images.npy", images)
    paths = [tmp_path / name for name in ("model.keras", "found.npy", "images.npy")]
    subprocess.run([sys.executable, "-I", "-c", LOADED, *map(str, paths)], cwd=tmp_path, check=True)
    found = np.load(tmp_path / "found.npy")
    assert found.shape == (8, 2) and found.std() > 0
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_is_checked_by_its_own_reader_and_replaces_itself(format, small_bundle, tmp_path):
    for module in FORMATS[format].modules:
        pytest.importorskip(module)
    path = tmp_path / f"model{FORMATS[format].suffix}"
    for _ in range(2):
        values = export(Bundle.load(small_bundle), path, format, any_size=False)
        assert values["largest_difference"] <= 1e-4 and path.exists()
    assert values["input_shape"] == [None, 32, 32, 3]
    assert not [each for each in tmp_path.iterdir() if each.name.startswith(".")]


def test_what_is_refused_before_any_work(tmp_path, monkeypatch):
    (tmp_path / "mine.keras").write_text("not ours")
    (tmp_path / "mine.bin").write_text("not ours")
    refused(lambda: check_target(tmp_path / "a.keras", "kera"), "keras")
    refused(lambda: check_target(tmp_path / "a.h5", "keras"), "ends in .keras")
    refused(lambda: check_target(tmp_path / "a.keras", "saved_model"), "a folder")
    refused(lambda: check_target(tmp_path / "mine.keras", "keras"), "no export wrote it")
    refused(lambda: check_target(tmp_path / "mine.xml", "openvino"), "mine.bin")
    refused(lambda: check_target(tmp_path / "none" / "a.keras", "keras"), "no folder")
    monkeypatch.setitem(FORMATS, "onnx", replace(FORMATS["onnx"], modules=("no_such_module",)))
    refused(lambda: check_target(tmp_path / "a.onnx", "onnx"), "pip install 'headstart[onnx]'")


def test_a_model_that_differs_is_not_kept(small_bundle, tmp_path, monkeypatch):
    bundle = Bundle.load(small_bundle)
    wrong = replace(FORMATS["keras"], run=lambda path: lambda images: np.full((len(images), 2), 0.5))
    monkeypatch.setitem(exporting.FORMATS, "keras", wrong)
    refused(lambda: export(bundle, tmp_path / "model.keras"), "a difference of")
    assert list(tmp_path.iterdir()) == []


def test_recipes_whose_features_differ_say_so(small_recipe):
    quantized = replace(small_recipe, quantization="int8", calibration="ab", decode_scale="dct")
    notes = notes_on(quantized)
    assert len(notes) == 2 and "int8" in notes[0] and "reduced scale" in notes[1]
