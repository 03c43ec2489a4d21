"""Full disks, and a cache that takes nothing: one message that says so, before the work if it can."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import assert_four_parts
from typer.testing import CliRunner

from classify import Bundle
from classify.bundle.export import export
from classify.cli import app as classify
from classify.finetuning.finetune import finetune
from data import HeadstartError, open_source
from data.cli import app as data
from extract.backbones.weights import keep_weights
from extract.cli import app as extraction

FULL = "the disk is full"


@pytest.fixture
def disk(tmp_path):
    """A disk of 200 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("cannot mount a small disk here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def fill(disk: Path, left: int = 0) -> None:
    """Leave so many bytes of the disk free."""
    with open(disk / "other", "wb") as file:
        os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(disk).free - left)


def told(act, words: str = FULL) -> None:
    with pytest.raises(HeadstartError) as caught:
        act()
    assert_four_parts(str(caught.value))
    assert words in str(caught.value)


def refused(app, *words) -> None:
    done = CliRunner().invoke(app, list(map(str, words)))
    assert done.exit_code == 1, done.output
    assert_four_parts(done.stderr)
    assert FULL in done.stderr


def test_commands_on_a_full_disk_say_so_and_leave_nothing(disk, small_file, small_bundle, tmp_path):
    images = small_file.with_name("images")
    fill(disk)
    refused(extraction, "run", images, "-o", disk / "f.h5", "--backbone", "mobilenet", "--weights", "none")
    refused(data, "preview", images, "-o", disk / "sheet.png")
    refused(classify, "train", small_file, "--head", "centroid", "-o", disk / "head")
    refused(classify, "sweep", small_file, "--heads", "centroid", "--jobs", "1", "-o", disk / "best")
    board = ("--leaderboard", disk / "board.csv")
    refused(classify, "sweep", small_file, "--heads", "knn", "--jobs", "1", "-o", tmp_path / "b", *board)
    refused(classify, "evaluate", small_bundle, small_file, "--figures", disk / "figures")
    refused(
        classify, "benchmark", images, "-o", disk / "bench", "--backbone", "mobilenet", "--weights", "none"
    )
    left = {path.name for path in disk.iterdir()} - {"bench", "figures", "best.sweep.jsonl"}
    assert left == {"other"}  # and folders or files without content
    assert not [
        path for path in disk.rglob("*") if path.is_file() and path.stat().st_size and path.name != "other"
    ]


@pytest.mark.parametrize("format", ["keras", "saved_model", "openvino", "litert"])
@pytest.mark.parametrize("left", [0, 20_000])
def test_an_export_names_the_disk_not_the_layers(format, left, small_bundle, disk):
    path = disk / {"keras": "m.keras", "openvino": "m.xml", "litert": "m.tflite"}.get(format, "m")
    fill(disk, left)
    told(lambda: export(Bundle.load(small_bundle), path, format, any_size=False))
    assert [each.name for each in disk.iterdir()] == ["other"]


def test_fine_tuning_asks_for_room_before_it_reads_an_image(small_bundle, small_file, disk, monkeypatch):
    source = open_source(small_file.with_name("images"))
    fill(disk, 40_000)
    monkeypatch.setattr("classify.finetuning.finetune.load_rows", None)
    told(lambda: finetune(Bundle.load(small_bundle), source, disk / "tuned"))
    assert [each.name for each in disk.iterdir()] == ["other"]


def test_a_cache_that_is_full_or_no_folder_is_named(small_recipe, small_bundle, disk, tmp_path, monkeypatch):
    from extract.backbones.weights import find_weights, load_backbone
    from extract.engines.conversion import float_model, keep_model, model_path

    model = load_backbone("smallnet", (32, 32), small_recipe.weights)
    converted = float_model(small_recipe)
    for place, said in ((disk, FULL), (small_bundle / "bundle.json", "Not a directory")):
        if place == disk:
            fill(disk, 8_000)
        monkeypatch.setenv("HEADSTART_CACHE", str(place))
        for act in (
            lambda: find_weights("mobilenet", "none"),
            lambda: keep_weights("smallnet", model.get_weights(), "tuned", "a test"),
            lambda: keep_model(converted, model_path(small_recipe)),
        ):
            told(act, said)
            told(act, "HEADSTART_CACHE")
    assert not [path for path in disk.rglob("*") if path.is_file() and path.name != "other"]


LIMITED = """
import resource, sys
from pathlib import Path
from data.output.disk import writing
from data.output.atomic import written_aside
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    with writing(Path(sys.argv[1]), "or not"), written_aside(Path(sys.argv[1])) as aside:
        aside.write_bytes(bytes(2000))
except ValueError as error:
    print(error)
"""


def test_a_limit_on_the_size_of_files_is_told_too(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path / "file")], capture_output=True, text=True
    )
    assert FULL in done.stdout and list(tmp_path.iterdir()) == []
    assert_four_parts(done.stdout)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("words", [("extract", "info"), ("extract", "info", "--json"), ("data", "--help")])
def test_a_result_that_nobody_takes_is_one_message(words, small_file, tmp_path):
    given = [*words, *([small_file] if "info" in words else [])]
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", *map(str, given)], stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert done.returncode == 1
    assert_four_parts(done.stderr)
    assert FULL in done.stderr and "Exception ignored" not in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_an_error_that_nobody_takes_ends_as_it_would(tmp_path):
    with open("/dev/full", "w") as full:
        words = [sys.executable, "-m", "extract", "info", "nowhere.h5"]
        done = subprocess.run(words, stdout=subprocess.PIPE, stderr=full)
    assert (done.returncode, done.stdout) == (1, b"")
