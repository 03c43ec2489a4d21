"""Contact sheets and augmentation, as a user asks for them."""

import json
import os

import numpy as np
import pytest
from conftest import assert_four_parts, draw_images, imported_by, run_command
from PIL import Image
from typer.testing import CliRunner

from data import open_source
from data.augment import augmentation
from data.cli import app
from data.contact_sheet import preview


@pytest.fixture
def command(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def command(*words):
        return CliRunner().invoke(app, ["preview", *map(str, words)])

    return command


def test_the_first_nine_images_with_their_labels(command, images):
    result = command("images", "-o", "sheet.png")
    assert result.exit_code == 0
    first, *others = result.stdout.splitlines()
    assert first == "sheet.png: 9 images"
    assert others == [*(f"blue/{number:03d}.png  blue" for number in range(8)), "red/000.png  red"]
    with Image.open("sheet.png") as sheet:
        assert sheet.format == "PNG" and min(sheet.size) > 500


def test_the_sheet_shows_the_pixels_of_the_images(images, tmp_path):
    preview(open_source(images), tmp_path / "sheet.png")
    pixels = np.asarray(Image.open(tmp_path / "sheet.png").convert("RGB"), int)
    side = len(pixels) // 3
    middles = [pixels[side * row + side // 2, side * column + side // 2] for row, column in np.ndindex(3, 3)]
    assert [int(middle.argmax()) for middle in middles] == [0] * 8 + [1]


def test_augment_shows_one_image_nine_times_and_never_alike(images, tmp_path):
    sheet = preview(open_source(images), tmp_path / "sheet.png", augment=True)
    assert sheet.augmented and [image["id"] for image in sheet.images] == ["blue/000.png"]
    pixels = np.asarray(Image.open(tmp_path / "sheet.png").convert("L"), float)
    side = len(pixels) // 3
    cells = [
        pixels[side * row + 60 : side * row + side - 20, side * column + 40 : side * (column + 1) - 40]
        for row, column in np.ndindex(3, 3)
    ]
    assert all(cell.std() > 1 for cell in cells)
    assert np.abs(cells[0] - cells[1]).mean() > 1


def test_one_seed_gives_one_sheet(images, tmp_path):
    for name, seed in (("one", 1), ("again", 1), ("other", 2)):
        preview(open_source(images), tmp_path / f"{name}.png", augment=True, seed=seed)
    one, again, other = ((tmp_path / f"{name}.png").read_bytes() for name in ("one", "again", "other"))
    assert one == again != other


def test_augmentation_keeps_shape_and_range_and_acts_in_training_alone():
    images = np.random.default_rng(0).uniform(0, 255, (4, 12, 10, 3)).astype(np.float32)
    layer = augmentation(0)
    augmented = np.asarray(layer(images, training=True))
    assert augmented.shape == images.shape
    assert augmented.min() >= 0 and augmented.max() <= 255.001
    assert np.abs(augmented - images).max() > 1
    assert (np.asarray(layer(images, training=False)) == images).all()


def test_images_that_cannot_be_read_are_said_and_skipped(command, images):
    (images / "blue" / "000.png").write_text("text")
    result = command("images", "--json")
    assert result.exit_code == 0
    assert "skipped: blue/000.png: not an image" in result.stderr
    sheet = json.loads(result.stdout)
    assert sheet["file"] == "preview.png" and not sheet["augmented"]
    assert [row["id"] for row in sheet["skipped"]] == ["blue/000.png"]
    assert [row["label"] for row in sheet["images"]] == ["blue"] * 7 + ["red"] * 2


def test_a_source_without_labels_is_shown(command, images):
    (images / "list.csv").write_text("path,label\nred/000.png,\nblue/000.png,blue\n")
    assert command("images/list.csv").stdout.splitlines()[1] == "red/000.png  (unknown)"


def test_odd_labels_are_said(command, images):
    (images / "list.csv").write_text("path,label\nred/000.png,red\nred/001.png,Red\nblue/000.png,NA\n")
    said = command("images/list.csv").stderr
    assert "look alike are told apart: 'Red', 'red'" in said and "the label NA: a class;" in said


def test_what_preview_refuses(command, tmp_path):
    draw_images(tmp_path / "bad", each=1)
    for name in ("blue", "red"):
        (tmp_path / "bad" / name / "000.png").write_text("text")
    (tmp_path / "folder.png").mkdir()
    draw_images(tmp_path / "good", each=1)
    refused = [
        (("nothing",), "there is no source"),
        (("bad",), "no image of the source can be read"),
        (("good", "-o", "sheet.txt"), "not named like an image"),
        (("good", "-o", "sheet"), "no suffix"),
        (("good", "-o", "bad/blue/000.png"), "no figure that Headstart wrote"),
        (("good", "-o", "bad/blue/000.png/sheet.png"), "cannot be written"),
        (("good", "-o", "folder.png"), "a folder"),
        (("good", "--data-dir", "good"), "--data-dir"),
        (("digits", "--folders-are-classes"), "--folders-are-classes"),
    ]
    for words, said in refused:
        result = command(*words)
        assert result.exit_code == (2 if said.startswith("--") else 1), words
        assert_four_parts(result.stderr)
        assert said in result.stderr and not result.stdout


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_file_that_may_not_be_written_is_one_message(command, images, tmp_path):
    (tmp_path / "sheet.png").write_bytes(b"")
    (tmp_path / "sheet.png").chmod(0o400)
    result = command("images", "-o", "sheet.png")
    assert result.exit_code == 1
    assert_four_parts(result.stderr)


def test_preview_imports_no_tensorflow(images):
    done, imported = imported_by("data", "preview", "images", cwd=images.parent)
    assert done.returncode == 0, done.stderr
    assert "matplotlib" in imported and not imported & {"tensorflow", "keras", "sklearn", "h5py", "openvino"}


def test_python_m_data(tmp_path):
    done = run_command("data", "preview", "digits", "-o", "sheet.webp", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == "sheet.webp: 9 images"
    assert run_command("data", cwd=tmp_path).returncode == 2
