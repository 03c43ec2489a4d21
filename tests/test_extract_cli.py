"""The commands of extract, as a user types them."""

import json
import os
import shutil

import numpy as np
import pytest
from conftest import assert_four_parts, draw_images, imported_by, run_command
from PIL import Image
from typer.testing import CliRunner

from data import HeadstartError
from data.images import PIXEL_LIMIT
from data.machine import cpu
from extract import FeatureFile
from extract.cli import app
from extract.engines.openvino_engine import computes_bfloat16
from extract.model_files.core import cpu_core
from extract.run import forecast

TINY = ("--backbone", "mobilenet", "--weights", "none", "--image-size", "32")


@pytest.fixture
def command(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def command(*words):
        return CliRunner().invoke(app, [str(word) for word in words])

    return command


def test_run_says_where_the_file_is_and_what_comes_next(command, images):
    result = command("run", "images", *TINY)
    assert result.exit_code == 0
    assert "images.h5: 16 rows, 16 computed, 0 reused, 0 rejected" in result.stdout
    assert result.stdout.splitlines()[-1] == "next: python -m classify train images.h5 --head logistic"


def test_run_json_is_json_alone(command, images):
    result = command("run", "images", "-o", "x.h5", *TINY, "--json")
    report = json.loads(result.stdout)
    keys = {"file", "recipe_key", "rows", "computed", "reused", "rejected", "seconds"}
    assert keys <= set(report)
    assert (report["file"], report["rows"], report["computed"]) == ("x.h5", 16, 16)


def test_run_tells_of_rejected_rows(command, images):
    (images / "red" / "bad.png").write_text("text")
    result = command("run", "images", *TINY)
    assert result.exit_code == 0
    assert "rejected: red/bad.png: not an image" in result.stderr
    assert "16 rows, 16 computed, 0 reused, 1 rejected" in result.stdout


def test_the_pixel_limit_rejects_larger_images_and_by_default_is_no_other_recipe(command, images):
    Image.new("L", (50, 50), 90).save(images / "red" / "large.png")
    result = command("run", "images", *TINY, "--pixel-limit", 2499)
    assert "rejected: red/large.png: 2500 pixels are more than 2499" in result.stderr
    assert "--pixel-limit 2500 takes" in result.stderr
    assert "17 rows, 17 computed" in command("run", "images", "-o", "all.h5", *TINY).stdout
    again = command("run", "images", "-o", "all.h5", *TINY, "--pixel-limit", PIXEL_LIMIT)
    assert "17 rows, 0 computed, 17 reused" in again.stdout


def test_run_tells_of_16_bits_that_are_nearly_black(images, tmp_path):
    for name in ("a", "b"):
        grey = np.random.default_rng(ord(name)).integers(0, 4096, (24, 24)).astype(np.uint16)
        Image.fromarray(grey).save(images / "red" / f"twelve_{name}.png")
    said = "nearly black: red/twelve_a.png, red/twelve_b.png; scale"
    for words, key in ((["--plan"], "missing"), ([], "computed")):
        done = run_command("extract", "run", "images", *TINY, *words, "--json", cwd=tmp_path)
        assert done.stderr.count(said) == 1
        report = json.loads(done.stdout)
        assert report[key] == 18 and sum(said in text for text in report["warnings"]) == 1


@pytest.fixture
def looking_alike(images):
    table = images / "list.csv"
    table.write_text("path,label\nred/000.png,red\nred/001.png,Red\nblue/000.png,blue\nblue/001.png,NULL\n")
    return table


@pytest.mark.parametrize("plan", [(), ("--plan",)])
def test_run_plan_and_verify_say_once_what_is_odd_about_labels(plan, command, looking_alike):
    alike = "warning: classes that look alike are told apart: 'Red', 'red'; write both in one way"
    null = "warning: 1 image with the label NULL: a class"
    results = [command("run", looking_alike, "-o", "out.h5", *TINY, *plan, "--json")]
    assert alike.removeprefix("warning: ") in json.loads(results[0].stdout)["warnings"]
    if not plan:
        results.append(command("verify", "out.h5", "--source", looking_alike))
    for result in results:
        assert result.exit_code == 0
        for said in (alike, null):
            assert result.stderr.replace("\n", " ").count(said) == 1, result.stderr


def test_run_plan_preview_and_verify_name_classes_without_training_rows(command, images):
    shutil.copy(images / "red" / "000.png", images / "red" / "again.png")
    rows = ["red/000.png,red,train", "red/again.png,blue,train", "blue/000.png,green,test"]
    (images / "list.csv").write_text("\n".join(["path,label,split", *rows, "red/gone.png,gone,train", ""]))
    untrained = "warning: 1 class has no training row: green; a head never predicts it, so its 1 row counts"
    several = "warning: 1 image has several labels: red/000.png (red) = red/again.png (blue); no head"
    words = ("images/list.csv", "-o", "out.h5", *TINY, "--max-bad", 1)
    planned, done = command("run", *words, "--plan").stderr, command("run", *words).stderr
    assert [line for line in planned.splitlines() if "warning" in line] == [
        line for line in done.splitlines() if "warning" in line
    ]
    assert untrained in planned and several in planned
    assert untrained in command("verify", "out.h5", "--source", "images/list.csv").stderr
    preview = run_command("data", "preview", images / "list.csv", cwd=images.parent).stderr
    assert untrained in preview and "several labels" not in preview


@pytest.mark.parametrize("plan", [(), ("--plan",)])
def test_run_says_once_what_it_passes_over(plan, command, images):
    (images / "notes.txt").write_text("text")
    result = command("run", "images", *TINY, *plan)
    assert result.exit_code == 0
    assert result.stderr.count("warning: 1 file passed over, not named like an image: .txt 1") == 1


def test_a_run_that_refuses_has_said_what_it_passes_over(command, images):
    for path in images.rglob("*.png"):
        path.write_text("text")
    (images / "green").symlink_to(images / "unmounted")
    result = command("run", "images", *TINY)
    assert result.exit_code == 1 and "16 of 16 images were rejected" in result.stderr
    assert "warning: 1 link to nothing passed over: green" in result.stderr


def test_info(command, tiny_file):
    text = command("info", tiny_file).stdout
    summary = json.loads(command("info", tiny_file, "--json").stdout)
    assert summary["rows"] == 120
    assert summary["recipe"]["backbone"] == "mobilenet"
    assert sum(sum(counts.values()) for counts in summary["rows_by_split"].values()) == 120
    assert summary["class_names"] == ["blue", "red"]
    for word in (
        "mobilenet",
        "120 rows",
        "random, seed 0",
        "openvino",
        "blue",
        "red",
        summary["recipe_key"][:16],
    ):
        assert word in text


def test_info_counts_unknown_labels(command, images):
    (images / "list.csv").write_text("path,label\nred/000.png,red\nblue/000.png,\nblue/001.png,blue\n")
    assert command("run", "images/list.csv", *TINY).exit_code == 0
    summary = json.loads(command("info", "list.csv.h5", "--json").stdout)
    assert summary["class_names"] == ["blue", "red", "(unknown)"]
    assert sum(counts["(unknown)"] for counts in summary["rows_by_split"].values()) == 1


@pytest.mark.parametrize("name", ["conv1_rel", ""])
def test_an_unknown_layer_is_refused_before_any_work(command, images, monkeypatch, name):
    monkeypatch.setattr("extract.recipe.Recipe.for_backbone", None)
    done = command("run", "images", *TINY, "--layer", "avg_pool", "--layer", name)
    assert done.exit_code == 2 and f"unknown layer {name!r}" in done.stderr
    assert "conv1_relu" in done.stderr and "to compute" not in done.stderr


def test_several_layers(command, images):
    layers = ("--layer", "conv1_relu", "--layer", "avg_pool")
    assert command("run", "images", *TINY, *layers).exit_code == 0
    summary = json.loads(command("info", "images.h5", "--json").stdout)
    assert summary["features"] == {"avg_pool": [16, 1024], "conv1_relu": [16, 32]}


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["run", "nowhere"], "there is no source"),
        (["run", "empty"], "no images"),
        (
            ["run", "images", "--backbone", "mobilenet", "--weights", "none", "--image-size", "31"],
            "32 pixels or more",
        ),
        (["run", "images", *TINY, "-o", "text.h5/where.h5"], "cannot be written"),
        (["run", "images", *TINY, "-o", "images"], "cannot be written"),
        (["run", "images", *TINY, "-o", "/proc/x.h5"], "could not be written"),
        (["run", "images", *TINY, "-o", "text.h5"], "not a feature file"),
        (["run", "images", *TINY, "-o", "/dev/null"], "a pipe or a device"),
        (["run", "images", *TINY, "--weights", "no.h5"], "no weights"),
        (["run", "images", *TINY, "--engine", "openvino", "--precision", "float16"], "cannot compute with"),
        (["run", "images", *TINY, "--quantization", "int8", "--precision", "float16"], "no engine can"),
        (["run", "images", *TINY, "--quantization", "int8", "--calibration", "nowhere"], "no source"),
        (["run", "", *TINY], "an empty text"),
        (["run", "tfds:mnist", *TINY, "--data-dir", "nowhere"], "there is no folder 'nowhere'"),
        (["run", "tfds:", *TINY], "not a TFDS source"),
        (["info", "nowhere.h5"], "there is no feature file"),
        (["info", "text.h5"], "not a feature file"),
    ],
)
def test_errors_of_the_user(command, images, tmp_path, words, part):
    refused(command, tmp_path, words, part, code=1)


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["run", "images", "--backbone", "mobilnet"], "nearest: mobilenet"),
        (["run", "images", *TINY, "--layer", "conv1_rel"], "conv1_relu"),
        (["run", "images", *TINY[:4], "--image-size", "big"], "not a size"),
        (["run", "images", *TINY, "--max-bad", "few"], "not a number"),
        (["run", "images", *TINY, "--data-dir", "."], "--data-dir has no meaning"),
        (["run", "images", *TINY, "--engine", "openvin"], "auto, keras, openvino"),
        (
            ["run", "images", *TINY, "--engine", "openvino", "--keras-backend", "jax"],
            "goes with the engine keras",
        ),
        (["run", "images", *TINY, "--quantization", "int4"], "unknown quantization"),
        (["run", "images", *TINY, "--precision", "float8"], "float8"),
        (["run", "images", *TINY, "--decode-scale", "half"], "half"),
        (["run", "tfds:cats_vs_dogz", *TINY], "cats_vs_dogs"),
    ],
)
def test_values_that_an_option_does_not_take_are_usage(command, images, tmp_path, words, part):
    refused(command, tmp_path, words, part, code=2)


def refused(command, folder, words, part, code):
    (folder / "empty").mkdir()
    (folder / "text.h5").write_text("text")
    before = sorted(path.name for path in folder.iterdir())
    result = command(*words)
    assert result.exit_code == code
    assert_four_parts(result.stderr)
    assert part in result.stderr
    assert result.stdout == ""
    assert sorted(path.name for path in folder.iterdir()) == before


def test_another_recipe_on_an_existing_file(command, images):
    command("run", "images", *TINY)
    result = command("run", "images", *TINY[:4], "--image-size", "33")
    assert result.exit_code == 1
    assert_four_parts(result.stderr)
    assert "image_size=(33, 33)" in result.stderr
    assert "image_size=(32, 32)" in result.stderr


@pytest.mark.parametrize(
    "words", [["run", "--no-such-option"], ["no-such-command"], ["run", "a", "b"], ["info"]]
)
def test_usage(command, words):
    assert command(*words).exit_code == 2


def test_every_command_has_an_example():
    for words in (["run", "--help"], ["info", "--help"]):
        assert "Example: python -m extract" in CliRunner().invoke(app, words).stdout


def test_a_name_that_is_not_utf8(command, images):
    odd = os.fsencode(images / "red") + b"/caf\xe9.png"
    shutil.copyfile(images / "red" / "000.png", odd)
    result = command("run", "images", *TINY)
    assert result.exit_code == 0
    assert "not UTF-8" in result.stderr
    assert "red/caf\\udce9.png" in FeatureFile("images.h5").contents.ids
    assert "17 rows, 16 computed, 1 reused" in result.stdout


@pytest.mark.parametrize(
    ("package", "name"), [("extract", "data"), ("classify", "data"), ("classify", "extract")]
)
def test_a_data_py_in_the_working_folder_is_named(tmp_path, package, name):
    (tmp_path / f"{name}.py").write_text("raise RuntimeError('mine')")
    done = run_command(package, "--help", cwd=tmp_path)
    assert done.returncode == 1
    assert_four_parts(done.stderr)
    assert str(tmp_path / f"{name}.py") in done.stderr


def test_a_folder_named_data_is_no_harm(tmp_path):
    draw_images(tmp_path / "data", each=2)
    assert run_command("extract", "--help", cwd=tmp_path).returncode == 0


def test_with_nothing_to_do_no_tensorflow_is_imported(tiny_file):
    words = ("run", "images", *TINY, "-o", "tiny.h5")
    done, imported = imported_by("extract", *words, cwd=tiny_file.parent)
    assert done.returncode == 0
    assert "0 computed, 120 reused" in done.stdout
    assert "h5py" in imported
    assert not imported & {"tensorflow", "keras", "sklearn", "tensorflow_datasets"}


def test_new_images_and_their_labels_need_no_tensorflow(tiny_file, tiny_bundle, tmp_path):
    """With OpenVINO and a backbone that `tiny_file` has had converted."""
    images = draw_images(tmp_path / "images", each=2, first=500)
    words = ("run", "images", *TINY, "--engine", "openvino", "-o", "new.h5")
    done, imported = imported_by("extract", *words, cwd=tmp_path)
    assert done.returncode == 0 and "4 computed" in done.stdout, done.stderr
    assert "openvino" in imported and not imported & {"tensorflow", "keras"}
    done, imported = imported_by("classify", "predict", tiny_bundle, images, cwd=tmp_path)
    assert done.returncode == 0 and len(done.stdout.splitlines()) >= 4, done.stderr
    assert "sklearn" in imported and not imported & {"tensorflow", "keras"}


def test_run_offers_no_training_that_would_be_refused(command, images):
    rows = ["blue/000.png,blue,train", "red/000.png,red,test"]
    (images / "list.csv").write_text("\n".join(["path,label,split", *rows, ""]))
    done = command("run", "images/list.csv", "-o", "out.h5", *TINY)
    assert "next: " not in done.stdout
    assert "the training rows have fewer than two classes; a head needs two" in done.stderr


def computes_bfloat16_here() -> bool:
    capable = cpu_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return computes_bfloat16(capable, cpu().instruction_sets)


def test_a_large_run_says_once_what_bfloat16_would_give(command, images, monkeypatch):
    assert "bfloat16" not in command("run", "images", "-o", "few.h5", *TINY).stderr
    monkeypatch.setattr(forecast, "WORTH", 16)
    words = [line for line in command("run", "images", *TINY).stderr.splitlines() if "bfloat16" in line]
    assert len(words) == computes_bfloat16_here()
    assert all(line.startswith("float32: ") and "images/s; the engine alone: " in line for line in words)
    draw_images(images, each=8, first=8)
    assert "bfloat16" not in command("run", "images", *TINY).stderr  # it was the first that is told


@pytest.mark.parametrize("words", [(), ("--precision", "bfloat16"), ("--engine", "keras")])
def test_a_large_plan_measures_what_else_this_cpu_computes(command, images, monkeypatch, words):
    def no_nncf(*given, **named):
        raise HeadstartError("int8 needs NNCF", "it", "none", "install it")

    monkeypatch.setattr(forecast, "quantized", no_nncf)
    monkeypatch.setattr(forecast, "WORTH", 16)
    if "bfloat16" in words and not computes_bfloat16_here():
        pytest.skip("this CPU does not compute in bfloat16")
    result = command("run", "images", *TINY, "--plan", *words)
    assert result.exit_code == 0, result.output
    told = [line for line in result.stdout.splitlines() if line.startswith("--precision bfloat16: ")]
    assert len(told) == (computes_bfloat16_here() and not words)
    assert all(float(line.split()[2]) > 0 for line in told)


@pytest.mark.parametrize("name", ["numpy", "json", "h5py"])
@pytest.mark.parametrize("package", ["extract", "classify", "data"])
def test_a_module_of_the_user_hides_none_that_we_import(tmp_path, package, name):
    (tmp_path / f"{name}.py").write_text("raise RuntimeError('mine')")
    words = {"extract": ("info", "none.h5"), "classify": ("info", "none"), "data": ("preview", "digits")}
    done = run_command(package, *words[package], cwd=tmp_path)
    assert "mine" not in done.stderr and "Traceback" not in done.stderr
