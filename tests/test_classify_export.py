"""Exported models: files that say what the head says, and what is refused before anything is written."""

import json
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path
from threading import Thread

import numpy as np
import openvino
import pytest
from conftest import refused
from folders import waiting_told
from typer.testing import CliRunner

from classify import HEADS, Bundle, load_features
from classify.bundle import export as exporting
from classify.bundle.export import check_target, export, notes_on, sample_images
from classify.bundle.formats import FORMATS
from classify.cli import app
from data.output.lock import locked

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
        exported = export(Bundle.load(small_bundle), path, format, any_size=False)
        assert exported.largest_difference <= 1e-4 and path.exists()
    assert exported.input_shape == [None, 32, 32, 3]
    assert not [each for each in tmp_path.iterdir() if each.name.startswith(".")]


@pytest.mark.parametrize(("name", "any_size"), [("logistic", False), ("mlp", True), ("three classes", True)])
def test_an_openvino_model_is_in_float32_by_default(name, any_size, small_bundle, small_file, tmp_path):
    """By default OpenVINO computes in bfloat16 on CPUs that have it."""
    bundle, features = Bundle.load(small_bundle), load_features(small_file)
    if name == "mlp":
        head = HEADS["mlp"](hidden=(8,), epochs=2).fit(*features.training_rows())
        bundle = Bundle.of(head, features, "mlp")
    if name == "three classes":
        bundle = replace(bundle, class_names=("blue", "green", "red"))  # no image of the last one was seen
    exported = export(bundle, tmp_path / "model.xml", "openvino", any_size=any_size)
    assert exported.largest_difference < 1e-5 and exported.largest_difference_by_default < 1e-5
    compiled = openvino.Core().compile_model(tmp_path / "model.xml", "CPU")
    operations = compiled.get_runtime_model().get_ops()
    computed = {operation.get_rt_info()["runtimePrecision"].astype(str) for operation in operations}
    assert "f32" in computed and not {"bf16", "f16"} & computed
    assert compiled(sample_images((40, 33) if any_size else (32, 32)))[0].shape == (
        8,
        len(bundle.class_names),
    )
    layers = ElementTree.parse(tmp_path / "model.xml").getroot().find("layers")
    assert {layer.find("rt_info/attribute[@name='precise']").get("version") for layer in layers} == {"0"}
    kinds = {layer.get("type") for layer in layers}
    assert "Convolution" in kinds and "MatMul" not in kinds


def test_an_onnx_model_tells_how_openvino_reads_it(small_bundle, tmp_path):
    for module in FORMATS["onnx"].modules:
        pytest.importorskip(module)
    words = ["export", str(small_bundle), "-o", str(tmp_path / "model.onnx"), "--format", "onnx"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.stderr
    assert "by OpenVINO's default options" in done.stdout
    card = json.loads((tmp_path / "model.onnx.json").read_text())
    assert "INFERENCE_PRECISION_HINT=f32" in card["notes"][0]
    exported = export(Bundle.load(small_bundle), tmp_path / "again.onnx", "onnx")
    default = openvino.Core().get_property("CPU", "INFERENCE_PRECISION_HINT").to_string()
    off = exported.largest_difference_by_default
    assert off > 1e-5 if default == "bf16" else off <= 1e-4
    assert exported.largest_difference < 1e-5


def test_what_is_refused_before_any_work(tmp_path, monkeypatch):
    (tmp_path / "mine.keras").write_text("not ours")
    (tmp_path / "mine.bin").write_text("not ours")
    refused(lambda: check_target(tmp_path / "a.keras", "kera"), "keras")
    refused(lambda: check_target(tmp_path / "a.h5", "keras"), "ends in .keras")
    refused(lambda: check_target(tmp_path / "a.keras", "saved_model"), "a folder")
    for nameless in (Path(), Path("/")):
        refused(lambda nameless=nameless: check_target(nameless, "saved_model"), "without a name")
    refused(lambda: check_target(tmp_path / "mine.keras", "keras"), "no export wrote it")
    refused(lambda: check_target(tmp_path / "mine.xml", "openvino"), "mine.bin")
    refused(lambda: check_target(tmp_path / "mine.bin" / "a.keras", "keras"), "no folder")
    check_target(tmp_path / "not" / "yet" / "a.keras", "keras")
    monkeypatch.setitem(FORMATS, "onnx", replace(FORMATS["onnx"], modules=("no_such_module",)))
    refused(lambda: check_target(tmp_path / "a.onnx", "onnx"), "pip install '.[onnx]'")


def test_a_second_export_waits_so_that_each_model_has_its_card(tmp_path):
    path, made = tmp_path / "model.keras", tmp_path / "aside" / "model.keras"
    made.parent.mkdir()
    made.write_text("model")
    made.with_name("model.keras.json").write_text("card")
    second = Thread(target=exporting._put_in_place, args=(made, path))
    with waiting_told() as told, locked(path):
        second.start()
        assert told.wait(30)
        assert not path.exists()
    second.join(30)
    assert path.read_text() == "model" and path.with_name("model.keras.json").read_text() == "card"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["aside", "model.keras", "model.keras.json"]


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
