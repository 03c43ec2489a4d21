"""Under HOME nothing is written but our cache, and the folders of Keras and TFDS."""

import os
from pathlib import Path

import pytest
from conftest import draw_images, run_command

SMALL = ("--backbone", "mobilenet", "--image-size", "32", "--weights", "none")
COMMANDS = {
    "run": ("extract", "run", "photos", *SMALL, "-o", "again.h5"),
    "int8": ("extract", "run", "photos", *SMALL, "-o", "int8.h5", "--quantization", "int8"),
    "keras": ("extract", "run", "photos", *SMALL, "-o", "keras.h5", "--engine", "keras"),
    "verify": ("extract", "verify", "photos.h5", "--source", "photos", "--sample", "2"),
    "bench": ("extract", "bench", "photos", *SMALL, "--images", "8", "--repeats", "1"),
    "preview": ("data", "preview", "photos"),
    "train": ("classify", "train", "photos.h5", "--head", "centroid", "-o", "again"),
    "sweep": ("classify", "sweep", "photos.h5", "-o", "best", "--heads", "centroid,keras-linear"),
    "evaluate": ("classify", "evaluate", "head", "photos.h5", "--figures", "figures"),
    "predict": ("classify", "predict", "head", "photos/red/000.png"),
    "export": ("classify", "export", "head", "-o", "head.xml", "--format", "openvino"),
    "onnx": ("classify", "export", "head", "-o", "head.onnx", "--format", "onnx"),
    "finetune": ("classify", "finetune", "head", "photos", "-o", "tuned", "--epochs", "1", "--rows", "8"),
}
QUICK = ("preview", "evaluate", "predict")
OURS = (".cache/headstart", ".keras", "tensorflow_datasets")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder with a home in it, images, a feature file and a bundle."""
    folder = tmp_path_factory.mktemp("user")
    draw_images(folder / "photos", each=30)
    (folder / "home").mkdir()
    for words in (("run", "photos", *SMALL), ("train", "photos.h5", "-o", "head")):
        done = in_home(folder, "extract" if words[0] == "run" else "classify", *words)
        assert done.returncode == 0, done.stderr
    return folder


def in_home(folder: Path, *words):
    """Run a command as a user whose home is in the folder, and who has set nothing else."""
    unset = ("HEADSTART_CACHE", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "MPLCONFIGDIR", "KERAS_HOME")
    return run_command(*words, cwd=folder, HOME=str(folder / "home"), **dict.fromkeys(unset, ""))


def test_making_file_and_bundle_writes_nothing_else(folder):
    assert strangers(folder / "home") == []


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in COMMANDS]
)
def test_a_command_writes_nothing_else(folder, name):
    done = in_home(folder, *COMMANDS[name])
    assert done.returncode == 0, done.stderr
    assert strangers(folder / "home") == []


def strangers(home: Path) -> list[str]:
    """Return the files under a home that are not ours, Keras' or TFDS's."""
    found = [os.path.relpath(path, home) for path in home.rglob("*") if path.is_file()]
    return [path for path in found if not path.startswith(OURS)]
