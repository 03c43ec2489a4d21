"""A newcomer's layouts, built small: each is read by the one command that its page has for it."""

import io
import json
import re
import shlex
import shutil
import tarfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import ROOT
from image_files import labels_by_id, png, refusal, save
from typer.testing import CliRunner

from data import HeadstartError, open_source
from data.sources.source import source_kind
from extract.cli import app
from extract.feature_file.contents import UNKNOWN

PAGE = (ROOT / "docs/sources.md").read_text()
FOUND = re.findall(r"\| `(python -m extract run .+?)` \|$", PAGE, re.MULTILINE)
COMMANDS = [command for command in FOUND if "://" not in command]  # a bucket is in tests of stores
SMALL = "--backbone mobilenet --image-size 32 --weights none --plan --json"


def classes(top: Path) -> None:
    save(top, "photos/cat/1.jpg", "photos/cat/2.jpg", "photos/dog/3.jpg")


def splits(top: Path, name: str = "pets", middle: str = "val") -> None:
    parts = [f"{name}/{split}" for split in ("train", middle, "test")]
    save(
        top, *(f"{part}/{kind}/{number}.jpg" for part in parts for kind in ("cat", "dog") for number in "12")
    )


def table(top: Path) -> None:
    save(top, "birds/1.jpg", "birds/2.jpg", "birds/3.jpg")
    (top / "birds.csv").write_text("file_name,species\n1.jpg,tit\n2.jpg,jay\n3.jpg,\n")


def names(top: Path) -> None:
    save(top, "flat/cat.1.jpg", "flat/cat.2.jpg", "flat/dog.3.jpg")


def kaggle(top: Path) -> None:
    save(top, "kaggle/train/cat/1.jpg", "kaggle/train/dog/2.jpg", "kaggle/test/3.jpg", "kaggle/test/4.jpg")
    (top / "kaggle/sample_submission.csv").write_text("id,label\n3,0\n4,0\n")


def roboflow_folders(top: Path) -> None:
    splits(top, "roboflow", "valid")
    (top / "roboflow/README.dataset.txt").write_text("a license")
    (top / "roboflow/README.roboflow.txt").write_text("augmentations")


def roboflow_classes(top: Path) -> None:
    for split, lines in (("train", ["1.jpg, 1, 0", "2.jpg, 0, 1"]), ("valid", ["3.jpg, 0, 1"]), ("test", [])):
        save(top / "export" / split, *(line.partition(",")[0] for line in lines))
        (top / "export" / split).mkdir(exist_ok=True)
        (top / "export" / split / "_classes.csv").write_text("\n".join(["filename, Cat, Dog", *lines, ""]))
    (top / "export/README.roboflow.txt").write_text("augmentations")


def zipped(top: Path) -> None:
    splits(top / "unpacked")
    shutil.make_archive(str(top / "pets"), "zip", top / "unpacked")


def tarred(top: Path) -> None:
    (top / "shards").mkdir()
    for shard in range(2):
        with tarfile.open(top / f"shards/train-{shard:03d}.tar", "w") as archive:
            for number in (2 * shard, 2 * shard + 1):
                for name, content in (
                    (f"{number}.jpg", png(number)),
                    (f"{number}.cls", b"%d" % (number % 2)),
                ):
                    info = tarfile.TarInfo(name)
                    info.size = len(content)
                    archive.addfile(info, io.BytesIO(content))


def parquet(top: Path) -> None:
    pyarrow, files = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    features = {"image": {"_type": "Image"}, "label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}
    said = {b"huggingface": json.dumps({"info": {"features": features}}).encode()}
    (top / "data").mkdir()
    for first, split in ((0, "train"), (3, "test")):
        images = [{"bytes": png(first + row), "path": f"{first + row}.png"} for row in range(3)]
        content = pyarrow.table({"image": images, "label": [0, 1, 1]}).replace_schema_metadata(said)
        files.write_table(content, top / f"data/{split}-00000-of-00001.parquet")


BOTH = {"cat": 2, "dog": 2}
# What is built, and the rows of each class in each split; None: split by a hash, so the sum counts.
LAYOUTS: dict[str, tuple[Callable[[Path], None], dict[str | None, dict[str, int]]]] = {
    "photos/": (classes, {None: {"cat": 2, "dog": 1}}),
    "pets/": (splits, {"train": BOTH, "validation": BOTH, "test": BOTH}),
    "birds.csv": (table, {None: {"jay": 1, "tit": 1, UNKNOWN: 1}}),
    "flat/": (names, {None: {"cat": 2, "dog": 1}}),
    "kaggle/": (kaggle, {"train": {"cat": 1, "dog": 1}, "test": {UNKNOWN: 2}}),
    "roboflow/": (roboflow_folders, {"train": BOTH, "validation": BOTH, "test": BOTH}),
    "export/": (roboflow_classes, {"train": {"Cat": 1, "Dog": 1}, "validation": {"Dog": 1}}),
    "pets.zip": (zipped, {"train": BOTH, "validation": BOTH, "test": BOTH}),
    "shards/train-{000..001}.tar": (tarred, {"train": {"0": 2, "1": 2}}),
    "data/": (parquet, {"train": {"cat": 1, "dog": 2}, "test": {"cat": 1, "dog": 2}}),
}


def test_every_layout_of_the_page_is_built():
    assert [shlex.split(command)[4] for command in COMMANDS] == list(LAYOUTS)


@pytest.mark.parametrize("command", COMMANDS)
def test_one_command_reads_a_layout(command, tmp_path, monkeypatch):
    words = shlex.split(command)[3:]
    build, expected = LAYOUTS[words[1]]
    build(tmp_path)
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, [*words, *SMALL.split()])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)["rows_by_split"]
    if None in expected:  # whatever the hash says
        total = Counter[str]()
        for counts in found.values():
            total.update(counts)
        assert +total == expected[None]
    else:
        assert {
            split: +Counter(counts) for split, counts in found.items() if any(counts.values())
        } == expected


def test_names_of_kaggle_that_say_the_label(tmp_path):
    pattern = re.search(r"`--label-regex '(.train.+?)'", PAGE)[1]
    save(tmp_path, "train/cat.0.jpg", "train/dog.1.jpg", "test/2.jpg")
    source = open_source(tmp_path, label_regex=pattern)
    assert labels_by_id(source) == {"train/cat.0.jpg": "cat", "train/dog.1.jpg": "dog", "test/2.jpg": None}
    assert [row.split for row in source.rows] == ["test", "train", "train"]


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".JPG", ".JPEG"])
def test_names_without_a_suffix(suffix, tmp_path):
    save(tmp_path, f"train/1{suffix}", f"train/2.x{suffix}", "labels.csv")
    (tmp_path / "labels.csv").write_text("id,breed\n1,pug\n2.x,husky\n3,pug\n")
    named = {"path_column": "id", "label_column": "breed"}
    source = open_source(tmp_path / "labels.csv", root=tmp_path / "train", **named)
    assert labels_by_id(source) == {f"1{suffix}": "pug", f"2.x{suffix}": "husky", "3": "pug"}
    assert isinstance(list(source.read(source.rows))[2], FileNotFoundError)


def test_a_name_without_a_suffix_that_two_images_have_is_refused(tmp_path):
    save(tmp_path, "train/1.jpg", "train/1.PNG", "labels.csv")
    (tmp_path / "labels.csv").write_text("path,label\n1,pug\n")
    with pytest.raises(HeadstartError, match="line 2 may name several images"):
        open_source(tmp_path / "labels.csv", root=tmp_path / "train")


# Roboflow's columns of classes


def export(top: Path, **tables: str) -> Path:
    """Write images 1.jpg and 2.jpg in a folder for each split, with a table."""
    for split, text in tables.items():
        save(top / split, "1.jpg", "2.jpg")
        (top / split / "_classes.csv").write_text(text)
    return top


def test_columns_of_classes_are_labels(tmp_path):
    train, valid = "filename, Cat, Dog, Yak\n1.jpg, 0, 1, 0\n", "filename,Cat\n2.jpg,0"
    source = open_source(export(tmp_path, train=train, valid=valid))
    assert labels_by_id(source) == {"train/1.jpg": "Dog", "valid/2.jpg": None}
    assert source.describe() == {"kind": "files", "layout": "columns of classes"}
    assert source.warnings == (
        "2 images passed over, in no _classes.csv",
        "1 image without a label: no class has a 1",
        "classes without any image: Cat, Yak",
    )
    assert open_source(**source.address()).rows == source.rows


def test_a_table_of_classes_without_folders_of_splits(tmp_path):
    source = open_source(export(tmp_path / "flat", **{".": "filename,a,b\n1.jpg,1,0\n2.jpg,0,1\n"}))
    assert labels_by_id(source) == {"1.jpg": "a", "2.jpg": "b"}
    assert {row.split for row in source.rows} == {None}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("filename,a,b\n1.jpg,1,1\n", "line 2 gives an image several classes"),
        ("filename,a\n1.jpg,yes\n", "line 2 is no line of classes"),
        ("filename,a\n1.jpg\n", "line 2 is no line of classes"),
        ("filename,a\n,1\n", "line 2 is no line of classes"),
        ("path,a\n1.jpg,1\n", "has other columns"),
        ("", "an empty file"),
        ("filename,a\n", "lists no images"),
        ("filename,a\n7.jpg,1\n", "none of the files is there"),
        ("filename,a\n1.jpg,1\n1.jpg,1\n", "twice"),
    ],
)
def test_tables_of_classes_that_are_refused(text, told, tmp_path):
    assert told in refusal(export(tmp_path, train=text))


def test_a_table_in_no_encoding_of_ours_is_refused(tmp_path):
    export(tmp_path, train="").joinpath("train/_classes.csv").write_bytes(b"filename,caf\xe9\n1.jpg,1\n")
    assert "_classes.csv' cannot be read" in refusal(tmp_path)


def test_a_folder_of_classes_with_such_a_name_in_it_stays_one(tmp_path):
    save(tmp_path, "cat/1.jpg", "dog/2.jpg")
    (tmp_path / "cat/_classes.csv").write_text("filename,a\n")
    assert source_kind(str(tmp_path)) == "folder"


@pytest.mark.parametrize(
    "names", [("train/cat.0.jpg", "test1/1.jpg"), ("train/train/cat.0.jpg", "test/test/1.jpg")]
)
def test_folders_of_splits_are_no_classes(names, tmp_path):
    assert "--label-regex" in refusal(save(tmp_path, *names))
    assert open_source(tmp_path, folders_are_classes=True).class_names
    assert open_source(tmp_path, label_regex=r"([a-z]+)\.\d+\.jpg").class_names == ("cat",)


def test_labels_in_names_are_thought_of_where_no_image_has_one(tmp_path):
    (warning,) = open_source(save(tmp_path, "train/cat.0.jpg", "test/1.jpg")).warnings
    pattern = re.search("--label-regex '(.+)'", warning)[1]
    assert labels_by_id(open_source(tmp_path, label_regex=pattern))["train/cat.0.jpg"] == "cat"


def test_a_folder_around_classes_is_told(tmp_path):
    (warning,) = open_source(save(tmp_path, "photos/cat/1.jpg", "photos/dog/2.jpg")).warnings
    assert f"holds folders: cat, dog; if these are the classes, name {tmp_path}/photos" in warning


@pytest.mark.parametrize("pattern", ["cat", "cat/", "./cat/*", "/cat/*", "/cat", "./cat"])
def test_patterns_as_of_git_and_rsync(pattern, tmp_path):
    save(tmp_path, "cat/1.jpg", "dog/2.jpg")
    assert labels_by_id(open_source(tmp_path, exclude=[pattern])) == {"dog/2.jpg": "dog"}


def test_a_pattern_that_matches_nothing_is_told(tmp_path):
    save(tmp_path, "cat/1.jpg", "dog/2.jpg")
    assert "--exclude 'cow' matches no image" in open_source(tmp_path, exclude=["cow", "cat"]).warnings
    assert "correct --include" in refusal(tmp_path, include=["*.tiff"])


def test_an_empty_pattern_is_refused(tmp_path):
    assert "0 groups" in refusal(save(tmp_path, "cat/1.jpg"), label_regex="")


def test_notes_may_lie_beside_shards_and_folders_of_shards_are_named(tmp_path):
    tarred(tmp_path)
    (tmp_path / "shards/README.md").write_text("notes")
    assert open_source(tmp_path / "shards").class_names == ("0", "1")
    assert f"{tmp_path}/shards" in refusal(tmp_path)


def test_braces_are_explained(tmp_path):
    assert "train-{000..011}.tar" in refusal(str(tmp_path / "{train,val}.tar"))
