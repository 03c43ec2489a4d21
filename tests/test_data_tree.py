"""The walk through a folder: `run`, `predict` and `preview` agree on what is a class, and what is none."""

import importlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, assert_four_parts, draw_images, run_command
from typer.main import get_command

from classify.bundle.predict import image_files
from classify.scores.figures import new_figure, save_figure
from data import HeadstartError, open_source
from data.contact_sheet import preview
from data.sources.tree import read_tree, role

FILES = ROOT / "tests/files/0.1"  # Headstart's own outputs
JPEG = b"\xff\xd8\xff\xe0\0\x10JFIF\0 and no more"
ROLES = {
    "hidden": ".git .Trashes .@__thumb",
    "system": "__MACOSX @eaDir #recycle $RECYCLE.BIN lost+found @Recycle",
    "split": "train Train training trn val valid VALID validation dev test testing train_set test-images",
    "class": "cat trains testament valley developer recycled eaDir images MACOSX 猫",
}


def names(root: Path) -> list[str]:
    """Return the images that `run` reads, after it is checked that `predict` reads the same."""
    rows = sorted(row.id for row in open_source(root).rows)
    assert sorted(path.relative_to(root).as_posix() for path in image_files([root])) == rows
    return rows


def as_user(*words, cwd: Path) -> subprocess.CompletedProcess:
    """Run Python as somebody who may not read everything, which root may."""
    command = [sys.executable, *words]
    if os.geteuid() == 0:
        if not shutil.which("setpriv"):
            pytest.skip("root may read anything, and there is no setpriv here")
        without = "-dac_override,-dac_read_search"
        command = ["setpriv", f"--bounding-set={without}", f"--inh-caps={without}", *command]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


def refusal(root: Path, **options) -> str:
    with pytest.raises(HeadstartError) as caught:
        open_source(root, **options)
    assert_four_parts(str(caught.value))
    return str(caught.value)


@pytest.mark.parametrize("expected", ROLES)
def test_what_a_name_makes_of_a_folder(expected):
    found = {name: role(name) for name in ROLES[expected].split()}
    assert found == dict.fromkeys(found, expected)


# Splits and classes


def draw_splits(root: Path, *tops: str) -> Path:
    for number, top in enumerate(tops):
        draw_images(root / top, each=1, first=number)
    return root


def test_an_archive_of_macos_has_splits(tmp_path):
    draw_splits(tmp_path, "train", "test")
    (tmp_path / "__MACOSX/train/blue").mkdir(parents=True)
    (tmp_path / "__MACOSX/train/blue/._000.png").write_bytes(b"\0\5\x16\7")
    source = open_source(tmp_path)
    assert source.class_names == ("blue", "red") and {row.split for row in source.rows} == {"train", "test"}
    assert source.warnings == ("1 system folder passed over: __MACOSX 1",)


@pytest.mark.parametrize("odd", [("extra",), ("extra", "new")])
def test_a_few_folders_beside_splits_are_asked_about(odd, tmp_path):
    draw_splits(tmp_path, "Train", "valid", *odd)
    told = refusal(tmp_path)
    assert f"Train, valid; beside them {', '.join(odd)}" in told and "--folders-are-classes" in told
    source = open_source(tmp_path, folders_are_classes=True)
    assert source.class_names == ("Train", *odd, "valid") and {row.split for row in source.rows} == {None}
    assert source.warnings == ()


def test_many_folders_beside_splits_make_all_of_them_classes_with_a_warning(tmp_path):
    source = open_source(draw_splits(tmp_path, "train", "test", "a", "b", "c"))
    assert source.class_names == ("a", "b", "c", "test", "train")
    (warning,) = source.warnings
    assert warning.startswith("read as classes, though named as splits: test, train; ")


def test_folders_of_splits_are_classes_where_the_user_says_so(tmp_path):
    source = open_source(draw_splits(tmp_path, "train", "test"), folders_are_classes=True)
    assert source.class_names == ("test", "train") and len(source.rows) == 4


def test_splits_inside_of_classes_are_warned_of(tmp_path):
    for top in ("cat", "dog"):
        draw_splits(tmp_path / top, "train", "test")
    (warning,) = open_source(tmp_path).warnings
    assert "not read as splits: test, train" in warning and "split/class/image" in warning


def test_only_a_folder_takes_the_option(tmp_path):
    assert "--folders-are-classes" in refusal("digits", folders_are_classes=True)


@pytest.mark.parametrize(
    ("option", "openers"),
    [
        ("--folders-are-classes", {"--data-dir", "--live"}),
        ("--root", {"--data-dir", "--live", "--source"}),  # of which the last reads no labels
    ],
)
def test_every_command_that_opens_a_source_takes_the_option(option, openers):
    for package in ("data", "extract", "classify"):
        commands = get_command(importlib.import_module(f"{package}.cli").app).commands
        for name, command in commands.items():
            options = {option for parameter in command.params for option in parameter.opts}
            assert (option in options) == bool(options & openers), name


def test_the_option_on_the_command_line(tmp_path):
    draw_splits(tmp_path / "images", "train", "test", "extra")
    told = run_command("data", "preview", "images", cwd=tmp_path)
    assert told.returncode == 1 and "beside them extra" in told.stderr
    asked = run_command("data", "preview", "images", "--folders-are-classes", cwd=tmp_path)
    assert asked.stdout.splitlines()[1] == "extra/blue/002.png  extra"


def test_images_in_no_class_folder_are_counted_and_named(tmp_path):
    draw_images(tmp_path / "train", each=2)
    (tmp_path / "test").mkdir()
    for number in range(6):
        shutil.copy(tmp_path / "train/red/000.png", tmp_path / f"test/{number}.png")
    source = open_source(tmp_path)
    assert len(source.rows) == 4 + 6 and {row.split for row in source.rows} == {"train", "test"}
    (tmp_path / "test/red").mkdir()
    shutil.copy(tmp_path / "train/red/000.png", tmp_path / "test/red/again.png")
    source = open_source(tmp_path)
    assert len(source.rows) == 4 + 1
    (warning,) = source.warnings
    assert warning.startswith("6 images lie in no class folder: test/0.png, test/1.png, test/2.png, ...; ")
    assert "path,label" in warning


# What is no image


def test_system_folders_are_passed_over_at_any_depth_and_counted(images):
    known = names(images)
    for folder in ("blue/@eaDir/000.png", "red/@eaDir", "#recycle/red", "$RECYCLE.BIN/S-1", "lost+found"):
        (images / folder).mkdir(parents=True)
        shutil.copy(images / "red/000.png", images / folder / "thumb.png")
    assert names(images) == known
    source = open_source(images)
    assert source.class_names == ("blue", "red")
    (line,) = source.warnings
    assert line == "5 system folders passed over: @eaDir 2, " + line.split("@eaDir 2, ")[1]
    assert set(line.split("@eaDir 2, ")[1].split(", ")) == {"#recycle 1", "$RECYCLE.BIN 1", "lost+found 1"}


OUTPUTS = {
    "bundle": FILES / "heads/logistic",
    "tuned bundle": FILES / "tuned",
    "feature file": FILES / "photos.h5",
    "sharded feature file": FILES / "photos.shards",
    "parts of a run": FILES / "begun.h5.parts",
    "run of fine-tuning": FILES / "begun.run",
}


@pytest.mark.parametrize("kind", OUTPUTS)
def test_own_outputs_are_no_classes_whatever_their_name(kind, images):
    known, path = names(images), OUTPUTS[kind]
    copy = shutil.copytree if path.is_dir() else shutil.copy
    copy(path, images / "cats.h5")
    if path.is_dir():
        shutil.copy(images / "red/000.png", images / "cats.h5/figure.png")
    copy(path, images / "red/deeper.h5")
    assert names(images) == known
    source = open_source(images)
    assert source.class_names == ("blue", "red")
    assert source.warnings == (f"2 outputs of Headstart passed over: {kind.replace('tuned ', '')} 2",)


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tif"])
def test_sheets_are_no_images(suffix, images):
    known = names(images)
    for name in ("sheet", "red/sheet"):
        preview(open_source(images), images / f"{name}.{suffix}")
    assert names(images) == known
    assert open_source(images).warnings == ("2 outputs of Headstart passed over: figure 2",)


def test_figures_are_no_images(images):
    known = names(images)
    (images / "figures").mkdir()
    save_figure(new_figure()[0], images / "figures/roc.png")
    assert names(images) == known
    source = open_source(images)
    assert source.class_names == ("blue", "red")
    assert source.warnings[0] == "1 output of Headstart passed over: figure 1"


def test_a_large_folder_is_looked_into_again_only_when_it_changed(tmp_path, monkeypatch):
    """The modification time of a folder says that names were added; one of late is not relied on."""
    from data.output import drawn

    folder, looked = draw_images(tmp_path, ("red", "blue"), each=drawn._FEW) / "red", []
    look = drawn.drawn_by_us
    monkeypatch.setattr(drawn, "drawn_by_us", lambda path: looked.append(path) or look(path))

    def read() -> tuple[int, int]:
        looked.clear()
        return len(read_tree(tmp_path).images), len(looked)

    for place in (folder, tmp_path / "blue"):
        os.utime(place, (1, 1))
    assert read() == (200, 200) and read() == (200, 0)
    save_figure(new_figure()[0], folder / "a.png")
    assert read() == (200, 101) and read() == (200, 101)  # changed a moment ago
    os.utime(folder, (2, 2))
    assert read() == (200, 101) and read() == (200, 0)
    (folder / "a.png").rename(tmp_path / "blue" / "a.png")
    for place in (folder, tmp_path / "blue"):
        os.utime(place, (2, 2))
    assert read() == (200, 201) and read() == (200, 0)


@pytest.mark.parametrize("cached", [b"", b"[1]", b'{"red": 7}', b"\xff", None])
def test_what_is_remembered_may_be_damaged_or_out_of_reach(cached, tmp_path, monkeypatch):
    from data.output import drawn

    images = draw_images(tmp_path / "images", each=drawn._FEW)
    os.utime(images / "red", (1, 1))
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "cache"))
    if cached is None:
        (tmp_path / "cache").touch()
    else:
        read_tree(images)
        (file,) = (tmp_path / "cache/drawn").iterdir()
        file.write_bytes(cached)
    assert len(read_tree(images).images) == 2 * drawn._FEW


def test_files_that_are_images_by_content_alone_are_counted_in_the_same_words(images, caplog):
    known = names(images)
    for name in ("no_suffix", "download.jpg_large", "x.jxl", "frame.npy"):
        (images / "red" / name).write_bytes(JPEG)
    (images / "red/IMG_1.HEIC").write_bytes(b"\0\0\0\x18ftypheic" + bytes(40))
    (images / "red/notes.txt").write_text("text")
    caplog.clear()
    assert names(images) == known
    first, second = open_source(images).warnings
    assert first.startswith("6 files passed over, not named like an image: ")
    counted, by_content = first.split("; ")
    assert all(
        f"{kind} 1" in counted for kind in (".heic", "no suffix", ".jpg_large", ".jxl", ".npy", ".txt")
    )
    assert ".jpg_large" in by_content and "no suffix" in by_content and ".txt" not in by_content
    assert "HEIC" in second and "JPEG" in second
    assert [record.message for record in caplog.records] == [f"warning: {first}", f"warning: {second}"]
    named = [images / "red/no_suffix", images / "red/IMG_1.HEIC"]
    assert image_files(named) == named
    (images / "red/IMG_1.HEIC").write_bytes(JPEG)
    assert len(open_source(images).warnings) == 1


def test_pictures_without_a_decoder_say_which(tmp_path):
    from data.images import ImageError, load_image

    for data, name in ((b"\0\0\0\x18ftypheic\0\0\0\0mif1", "HEIC"), (b"\xff\x0a" + bytes(40), "JPEG XL")):
        with pytest.raises(ImageError, match=f"{name}.*convert it to JPEG"):
            load_image(data, None)


def test_pipes_are_no_images(images):
    known = names(images)
    os.mkfifo(images / "red/pipe.png")
    assert names(images) == known
    assert open_source(images).warnings == ("1 pipe or device passed over: red/pipe.png",)


@pytest.mark.parametrize("words", ["data preview images", "extract verify known.h5 --source images"])
def test_every_command_says_what_it_passes_over(words, images, tmp_path):
    (images / "@eaDir").mkdir()
    shutil.copy(FILES / "photos.h5", tmp_path / "known.h5")
    done = run_command(*words.split(), cwd=tmp_path)
    assert "warning: 1 system folder passed over: @eaDir 1" in done.stderr.splitlines()


# Links


def link(place: Path, target: Path) -> None:
    place.symlink_to(target, target_is_directory=True)


def test_links_are_followed(tmp_path):
    images, store = draw_images(tmp_path / "images", each=1), draw_images(tmp_path / "store", each=2)
    link(images / "red/monday", store / "red")
    link(images / "green", store / "blue")
    assert names(images) == [
        *("blue/000.png", "green/000.png", "green/001.png"),
        *("red/000.png", "red/monday/000.png", "red/monday/001.png"),
    ]
    assert open_source(images).warnings == ()


def test_a_folder_is_read_once_and_at_its_own_place(tmp_path):
    images, store = draw_images(tmp_path / "images", each=1), draw_images(tmp_path / "store", each=1)
    link(images / "a_link", images / "red")  # comes first by name
    link(images / "one", store / "red")
    link(images / "two", store / "red")
    link(images / "three", store)  # holds `red`, and `blue`, which nothing else names
    source = open_source(images)
    assert names(images) == ["blue/000.png", "one/000.png", "red/000.png", "three/blue/000.png"]
    (warning,) = source.warnings
    assert warning == "3 links to a folder that is read already passed over: a_link, three/red, two"


@pytest.mark.parametrize("target", ["images", "images/red", ".", ".."])
def test_links_upwards_are_not_followed(target, tmp_path):
    images = draw_images(tmp_path / "all" / "images", each=1)
    draw_images(tmp_path / "all" / "private", each=1)
    link(images / "red/loop", tmp_path / "all" / target)
    assert names(images) == ["blue/000.png", "red/000.png"]
    assert open_source(images).warnings == ("1 link to a folder above it passed over: red/loop",)


def test_links_outside_that_lead_in_circles_end(tmp_path):
    images, store = draw_images(tmp_path / "images", each=1), draw_images(tmp_path / "store", each=1)
    link(images / "green", store / "red")
    link(store / "red/back", store)
    link(store / "red/aside", store / "blue")
    link(store / "blue/aside", store / "red")
    assert names(images) == [
        *("blue/000.png", "green/000.png", "green/aside/000.png", "red/000.png"),
    ]
    lines = open_source(images).warnings
    assert "1 link to a folder above it passed over: green/back" in lines and len(lines) == 2


def test_links_to_nothing_are_named_and_broken_images_are_rows(images):
    link(images / "green", images / "unmounted")
    link(images / "itself", images / "itself")
    (images / "red/999.png").symlink_to(images / "gone.png")
    source = open_source(images)
    assert "red/999.png" in names(images) and source.class_names == ("blue", "red")
    assert source.warnings == ("2 links to nothing passed over: green, itself",)


# What cannot be read

LISTING = "from data import open_source; open_source({!r})"
PREDICTING = "from classify.bundle.predict import image_files; image_files([{!r}])"
SCANNING = (
    "from data import open_source; from extract.run.scan import scan_source; scan_source(open_source({!r}))"
)
READING = (
    "from data import open_source; from extract.run.worker import bytes_of; "
    "source = open_source({!r}); list(bytes_of(source, source.rows))"
)


@pytest.fixture
def closed(images):
    """Close a path, and open it afterwards."""
    paths = []

    def closed(*names: str) -> None:
        paths.extend(images / name for name in names)
        for path in paths:
            path.chmod(0)

    yield closed
    for path in paths:
        path.chmod(0o755)


@pytest.mark.parametrize("code", [LISTING, PREDICTING])
def test_a_folder_that_cannot_be_listed_stops_what_would_miss_its_images(code, closed, images, tmp_path):
    (images / "red/more").mkdir()
    link(images / "linked", images / "store/inside")
    (images / "store/inside").mkdir(parents=True)
    closed("blue", "red/more", "store")
    done = as_user("-c", code.format("images"), cwd=tmp_path)
    assert done.returncode and "'images': 4 files or folders cannot be read" in done.stderr
    for name in ("blue", "linked", "red/more", "store"):
        assert f"{name}: Permission denied" in done.stderr


@pytest.mark.parametrize("code", [LISTING, PREDICTING])
def test_what_lies_behind_a_closed_folder_is_not_called_missing(code, closed, tmp_path):
    closed("red")
    done = as_user("-c", code.format("images/red/deep"), cwd=tmp_path)
    assert "'images/red/deep': 1 file or folder cannot be read" in done.stderr
    assert "the path: Permission denied" in done.stderr


@pytest.mark.parametrize("code", [SCANNING, READING])
def test_an_image_that_may_not_be_read_stops_a_run_and_is_not_rejected(code, closed, tmp_path):
    closed("red/003.png")
    done = as_user("-c", code.format("images"), cwd=tmp_path)
    assert done.returncode and "red/003.png: " in done.stderr and "Permission denied" in done.stderr
    assert "1 file cannot be read" in done.stderr


def test_a_folder_that_cannot_be_listed_is_called_one(closed, tmp_path):
    closed("red")
    done = as_user("-c", LISTING.format("images"), cwd=tmp_path)
    assert "'images': 1 folder cannot be read" in done.stderr


COMMANDS = (
    "extract run images -o known.h5",
    "extract verify known.h5 --source images",
    "data preview images",
    "extract bench images",
    f"classify predict {FILES / 'heads/logistic'} images",
)


@pytest.mark.parametrize("name", [".", "red"])
@pytest.mark.parametrize("command", COMMANDS)
def test_commands_say_in_one_message_what_cannot_be_read(command, name, closed, images, tmp_path):
    shutil.copy(FILES / "photos.h5", tmp_path / "known.h5")
    known = (tmp_path / "known.h5").read_bytes()
    closed(name)
    done = as_user("-m", *command.split(), cwd=tmp_path)
    assert done.returncode == 1 and not done.stdout
    assert_four_parts(done.stderr)
    assert f"{'the folder itself' if name == '.' else name}: Permission denied" in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images", "known.h5"]
    assert (tmp_path / "known.h5").read_bytes() == known
