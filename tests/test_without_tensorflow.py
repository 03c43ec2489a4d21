"""An environment without TensorFlow: what runs there, and what says that it needs TensorFlow."""

import json
import shutil
import subprocess
import sys

import pytest
from conftest import assert_four_parts, draw_images
from PIL import Image

from data import HeadstartError, open_source
from extract import FeatureFile, extract
from extract.backbones import keras_backend
from extract.engines.probe import relative_difference

pytest.importorskip("jax", reason="needs the extra jax")
TINY = ["--backbone", "mobilenet", "--weights", "none", "--image-size", "32"]
IN_ONE_PROCESS = """
import json, sys
from typer.testing import CliRunner
from classify.headstart import application
for words in json.loads(sys.argv[1]):
    done = CliRunner().invoke(application(), words)
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    print(json.dumps([done.exit_code, done.stdout, done.stderr]))
print(json.dumps("keras" in sys.modules))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Photographs of two classes as PNG and JPEG."""
    folder = tmp_path_factory.mktemp("without")
    for number, path in enumerate(sorted(draw_images(folder / "photos").rglob("*.png"))):
        if number % 2:
            Image.open(path).save(path.with_suffix(".jpg"), quality=95)
            path.unlink()
    return folder


@pytest.fixture(scope="module")
def run(without_tensorflow, folder):
    """Run commands in one process without TensorFlow: exit code, stdout and stderr by the name of each."""

    def run(commands):
        done = subprocess.run(
            [sys.executable, "-c", IN_ONE_PROCESS, json.dumps(list(commands.values()))],
            env=without_tensorflow,
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return dict(zip((*commands, "keras"), map(json.loads, done.stdout.splitlines()), strict=True))

    return run


@pytest.fixture(scope="module")
def told(run):
    return run(
        {
            "extract": ["extract", "run", "photos", "-o", "photos.h5", *TINY, "--json"],
            "train": ["classify", "train", "photos.h5", "--head", "logistic", "-o", "bundle", "--json"],
            "evaluate": ["classify", "evaluate", "bundle", "photos.h5", "--json"],
            "predict": ["classify", "predict", "bundle", "photos", "--json"],
            "abstain": ["classify", "predict", "bundle", "photos", "--abstain", "0.5", "--json"],
            "bench": ["extract", "bench", "photos", *TINY, "--images", "4", "--repeats", "1"],
            "jax": ["extract", "run", "photos", "-o", "jax.h5", *TINY, "--engine", "keras", "--json"],
        }
    )


@pytest.fixture(scope="module")
def refused(run, told):
    """Commands that need TensorFlow, in another process: each says so before it imports Keras."""
    return run(
        {
            "net": ["classify", "train", "photos.h5", "--head", "mlp", "-o", "net"],
            "live": ["classify", "train", "photos.h5", "--live", "photos", "-o", "live"],
            "export": ["classify", "export", "bundle", "-o", "photos.keras"],
            "finetune": ["classify", "finetune", "bundle", "photos", "-o", "tuned"],
            "benchmark": ["classify", "benchmark", "photos", "-o", "compared"],
            "tfds": ["extract", "run", "tfds:mnist", "-o", "mnist.h5"],
        }
    )


def printed(code, out, err):
    """Return the result in JSON of a command that worked."""
    assert code == 0, err
    return json.loads(out)


def test_photographs_become_labels(told):
    report = printed(*told["extract"])
    assert (report["rows"], report["computed"], report["rejected"]) == (60, 60, 0)
    printed(*told["train"])
    assert printed(*told["evaluate"])["accuracy"]["value"] > 0.9
    rows = printed(*told["predict"])
    assert len(rows) == 60 and sum(row["label"] in row["file"] for row in rows) > 54
    unknown = [row["label"] == "unknown" for row in printed(*told["abstain"])]
    assert len(unknown) == 60 and 0 < sum(unknown) < 60


def test_bench_leaves_out_what_needs_tensorflow(told):
    code, out, err = told["bench"]
    assert code == 0, err
    table, _, _ = out.partition("Keras' own needs TensorFlow and a graph of Keras': no ratio to it\n")
    assert table != out
    assert {line.split()[-1] for line in table.splitlines()[2:]} == {"-"}  # ratios
    assert "whole pipeline" in table and "image_dataset_from_directory" not in table


def test_keras_on_jax_gives_the_features_of_openvino(told, folder):
    assert printed(*told["jax"])["computed"] == 60
    openvino, keras = (FeatureFile(folder / name) for name in ("photos.h5", "jax.h5"))
    assert "jax" in dict(keras.engine(0).others)
    one, other = (file.features("avg_pool")[:] for file in (openvino, keras))
    assert relative_difference(one, other) < 1e-4


def test_an_environment_with_tensorflow_goes_on_with_the_file(told, folder, tiny_recipe):
    shutil.copytree(folder / "photos", folder / "more")
    draw_images(folder / "more", each=1, first=99)
    report = extract(open_source(folder / "more"), tiny_recipe, folder / "photos.h5")
    assert (report.computed, report.reused) == (2, 60)


@pytest.mark.parametrize("name", ["net", "live", "export", "finetune", "benchmark", "tfds"])
def test_what_needs_tensorflow_says_so(refused, name):
    assert refused["keras"] is False
    code, out, err = refused[name]
    message = err[err.index("error: ") :]
    assert (code, out) == (1, "")
    assert_four_parts(message)
    assert "TensorFlow" in message.splitlines()[0] and "pip install tensorflow" in message


def test_what_needs_tensorflow_says_so_where_keras_has_another_backend(monkeypatch):
    monkeypatch.setattr(keras_backend, "keras_backend", lambda: "jax")
    with pytest.raises(HeadstartError, match="received: Keras with JAX") as caught:
        keras_backend.need_tensorflow("training this net")
    assert_four_parts(str(caught.value))
