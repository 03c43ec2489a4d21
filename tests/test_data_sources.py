"""Every source through one contract, then what each kind of source takes and refuses."""

import hashlib
import io
import os
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from conftest import assert_four_parts, draw_images
from image_files import labels_by_id, png, refusal, save

from data import HeadstartError, open_source
from data.images import load_image
from data.sources.arrays import from_arrays
from data.sources.folder import FileSource
from data.sources.labels import index_labels
from data.sources.source import SOURCES, source_kind
from data.sources.subset import SomeRows
from data.splits import group_digest, hashed_split, split_name
from data.testing.source import SourceContract
from data.text import counted
from extract.run.scan import scan_source

GUIDE = "train[:40%],train[40%:50%],train[50%:60%]"  # the splits of the Keras guide
LATIN = b"caf\xe9"  # not UTF-8


def save_csv(folder: Path, table: str | bytes, *names: str | bytes) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    save(folder, *names)
    (folder / "list.csv").write_bytes(table if isinstance(table, bytes) else table.encode())
    return folder / "list.csv"


def pixels(count: int = 4) -> np.ndarray:
    return np.arange(count * 60, dtype=np.uint8).reshape(count, 4, 5, 3)


def save_npz(folder: Path, **arrays) -> Path:
    folder.mkdir(exist_ok=True)
    np.savez(folder / "arrays.npz", **arrays)
    return folder / "arrays.npz"


def splits(source) -> dict:
    return dict(Counter(row.split for row in source.rows))


@pytest.fixture(scope="session")
def prepared(tmp_path_factory) -> Path:
    """Two TFDS data sets: squares (60 train in 3 shards, 5 test) and words, which has no image.

    A shard is longer than the 16 examples that TFDS interleaves by default.
    """
    import tensorflow_datasets as tfds

    def squares(shades):
        for shade in shades:
            image = np.full((4, 5, 3), shade, np.uint8)
            image[0] = 255
            yield shade, {"image": image, "label": "odd" if shade % 2 else "even"}

    folder = tmp_path_factory.mktemp("tfds")
    image = tfds.features.Image(shape=(None, None, 3), encoding_format="png")
    label = tfds.features.ClassLabel(names=["even", "odd"])
    parts = {"train": squares(range(60)), "test": squares(range(100, 105))}
    sets = {
        "squares": ({"image": image, "label": label}, parts, 3),
        "words": ({"text": tfds.features.Text()}, {"train": [(0, {"text": "a"})]}, 1),
    }
    for name, (features, split_datasets, shards) in sets.items():
        tfds.dataset_builders.store_as_tfds_dataset(
            name=name,
            version="1.0.0",
            data_dir=folder,
            features=tfds.features.FeaturesDict(features),
            split_datasets=split_datasets,
            download_config=tfds.download.DownloadConfig(num_shards=shards),
            disable_shuffling=shards == 1,
        )
    return folder


def open_images(request, folder):
    return open_source(draw_images(folder, each=4))


def open_split_folder(request, folder):
    for first, split in enumerate(("train", "val", "test")):
        draw_images(folder / split, each=2, first=2 * first)
    return open_source(folder)


def open_table(request, folder):
    draw_images(folder, each=2)
    lines = [
        "path,label,split,group",
        "red/000.png,red,train,a",
        "blue/001.png,,,",
        "blue/000.png,blue,val,b",
    ]
    return open_source(save_csv(folder, "\n".join(lines)))


def open_rooted_table(request, folder):
    draw_images(folder / "images", each=2)
    table = save_csv(folder / "lists", "path,label\nred/000.png,red\nblue/001.png,\nblue/000.png,blue")
    return open_source(table, root=folder / "images")


def open_npz_file(request, folder):
    return open_source(
        save_npz(folder, images=pixels(), labels=["b", "a", "", "a"], splits=["val", "", "test", "train"])
    )


def some_rows(source):
    return SomeRows(source, tuple(source.rows[1:]))


def open_parquet_file(request, folder):
    parquet, pyarrow = pytest.importorskip("pyarrow.parquet"), pytest.importorskip("pyarrow")
    folder.mkdir(exist_ok=True)
    images = [{"bytes": png(number), "path": f"{number}.png"} for number in range(12)]
    parquet.write_table(pyarrow.table({"image": images, "label": ["a", "b"] * 6}), folder / "x.parquet")
    return open_source(folder / "x.parquet")


def open_one_hot(request, folder):
    save(folder, *(f"train/{number}.png" for number in range(12)))
    lines = [f"{number}.png,{number % 2},{1 - number % 2}" for number in range(12)]
    (folder / "train/_classes.csv").write_text("\n".join(["filename,a,b", *lines]))
    return open_source(folder)


def open_zip(request, folder):
    save(folder / "images", *(f"{'ab'[number % 2]}/{number}.png" for number in range(12)))
    return open_source(shutil.make_archive(str(folder / "x"), "zip", folder / "images"))


KINDS = {
    "digits": lambda request, folder: open_source("digits"),
    "folder": open_images,
    "folder of splits": open_split_folder,
    "csv": open_table,
    "csv with a root": open_rooted_table,
    "npz": open_npz_file,
    "parquet": open_parquet_file,
    "archive": open_zip,
    "one hot": open_one_hot,
    "arrays": lambda request, folder: from_arrays(pixels(), [1, 0, -1, 1]),
    "some rows": lambda request, folder: some_rows(open_images(request, folder)),
    "tfds": lambda request, folder: open_source("tfds:squares", data_dir=request.getfixturevalue("prepared")),
}


class TestEverySource(SourceContract):
    @pytest.fixture(params=KINDS)
    def opened(self, request, tmp_path):
        return lambda: KINDS[request.param](request, tmp_path)

    def take_away(self, source, row):
        source = source.source if isinstance(source, SomeRows) else source
        if isinstance(source, FileSource):
            os.unlink(os.path.join(source.root, source.paths[row.id]))
        return isinstance(source, FileSource)


class TestPreparedPhotographs(SourceContract):
    @pytest.fixture
    def opened(self, shared):
        return lambda: open_source("tfds:cats_vs_dogs:train[:1%],train[50%:51%]", data_dir=shared / "tfds")


def test_the_contract_covers_the_table():
    assert set(SOURCES) <= set(KINDS)


@pytest.mark.parametrize("kind", ["folder", "folder of splits", "csv", "csv with a root", "npz", "one hot"])
def test_a_moved_source_is_the_same(kind, request, tmp_path):
    here, there = (KINDS[kind](request, tmp_path / place) for place in ("here", "there"))
    assert here.describe() == there.describe() and list(here.rows) == list(there.rows)
    assert list(here.read(here.rows)) == list(there.read(there.rows))


# What the command line calls a source


@pytest.mark.parametrize(
    "text, kind",
    [
        ("digits", "digits"),
        ("./digits", "folder"),
        ("images", "folder"),
        ("images.csv", "folder"),
        ("list.csv", "csv"),
        ("LIST.CSV", "csv"),
        ("arrays.npz", "npz"),
        ("tfds:cats_vs_dogs", "tfds"),
        ("tfds:cats_vs_dogs:4.0.1:train[:40%],train[40%:]", "tfds"),
    ],
)
def test_grammar(text, kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in ("digits", "images", "images.csv"):
        Path(folder).mkdir()
    for file in ("list.csv", "LIST.CSV", "arrays.npz"):
        Path(file).touch()
    assert source_kind(text) == kind


@pytest.mark.parametrize(
    "text", ["nowhere", "nowhere.csv", "tfds", "digits:0", "notes.txt", "n" * 5000, "n" * 5000 + "/a"]
)
def test_what_is_no_source_is_refused(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("notes.txt").touch()
    with pytest.raises(HeadstartError) as caught:
        source_kind(text)
    assert_four_parts(str(caught.value))


def test_only_tfds_takes_a_data_dir(images, tmp_path):
    assert "--data-dir" in refusal(images, data_dir=tmp_path)


# Digits


def test_digits_are_600_in_equal_parts():
    source = open_source("digits")
    assert Counter(row.label for row in source.rows) == dict.fromkeys(range(10), 60)
    assert source.class_names == tuple("0123456789")
    assert source.images.shape == (600, 8, 8) and source.images.dtype == np.uint8
    assert (source.images.min(), source.images.max()) == (0, 255)
    assert splits(source) == {None: 600}


# Folders


@pytest.mark.parametrize(
    ("names", "layout", "labels", "kinds"),
    [
        (("1.png", "2.png"), "image", {"1.png": None, "2.png": None}, {None: 2}),
        (
            ("train/1.png", "test/2.png"),
            "split/image",
            {"train/1.png": None, "test/2.png": None},
            {"train": 1, "test": 1},
        ),
        (
            ("train/cat/1.png", "train/dog/2.png", "test/3.png"),
            "split/class/image",
            {"train/cat/1.png": "cat", "train/dog/2.png": "dog", "test/3.png": None},
            {"train": 2, "test": 1},
        ),
    ],
)
def test_images_without_folders_of_classes_have_no_label(names, layout, labels, kinds, tmp_path):
    source = open_source(save(tmp_path, *names))
    assert (labels_by_id(source), splits(source)) == (labels, kinds)
    assert source.describe()["layout"] == layout
    without = sum(label is None for label in labels.values())
    assert any(f"{without} image" in line and "without a label" in line for line in source.warnings)
    again = open_source(**source.address())
    assert {row.id for row in again.rows} == {row.id for row in source.rows}


def test_labels_and_groups_are_read_from_names(tmp_path):
    names = ["cat.0.png", "cat.1.png", "dog.7.png", "deep/dog.8.png", "who.png"]
    source = open_source(save(tmp_path, *names), label_regex=r"(cat|dog)\.", group_regex=r"\.(\d)\.")
    assert labels_by_id(source) == dict(zip(names, ["cat", "cat", "dog", "dog", None], strict=True))
    assert {row.id: row.group for row in source.rows}["deep/dog.8.png"] == "8"
    assert "1 image without a label: --label-regex finds nothing in who.png" in source.warnings
    assert source.examples[0] == "--label-regex: cat.0.png -> cat, deep/dog.8.png -> dog, who.png -> none"
    assert source.examples[1].startswith("--group-regex: cat.0.png -> 0, ")


def test_labels_in_names_take_the_place_of_folders(tmp_path):
    source = open_source(save(tmp_path, "a/cat_1.png", "b/dog_2.png"), label_regex="/([a-z]+)_")
    assert source.class_names == ("cat", "dog")


@pytest.mark.parametrize(
    ("pattern", "told"),
    [("cat", "0 groups"), ("(a)(b)", "2 groups"), ("(a", "no regular expression"), ("(?:a)b", "0 groups")],
)
@pytest.mark.parametrize("option", ["label_regex", "group_regex"])
def test_a_pattern_without_one_group_is_refused(option, pattern, told, images):
    assert told in refusal(images, **{option: pattern})


@pytest.mark.parametrize(
    ("how", "kept"),
    [
        ({"include": ["*.png"]}, ["a/1.png", "b/2.png"]),
        ({"exclude": ["b"]}, ["a/1.png", "a/3.jpg"]),
        ({"exclude": ["a/*.png"]}, ["a/3.jpg", "b/2.png"]),
        ({"include": ["*/*.png", "*.jpg"], "exclude": ["2.*"]}, ["a/1.png", "a/3.jpg"]),
    ],
)
def test_patterns_let_images_in(how, kept, tmp_path):
    source = open_source(save(tmp_path, "a/1.png", "b/2.png", "a/3.jpg"), **how)
    assert [row.id for row in source.rows] == kept
    assert f"{counted(3 - len(kept), 'image')} left out by --include and --exclude" in source.warnings


def test_patterns_that_let_nothing_in_are_told(images):
    assert "left out by --include and --exclude" in refusal(images, include=["*.xyz"])


def test_classes_are_sorted_and_images_may_lie_deeper(tmp_path):
    source = open_source(save(tmp_path, "b/1.png", "a/2.png", "C/3.png", "a/deep/er/4.png"))
    assert source.class_names == ("C", "a", "b")
    assert labels_by_id(source) == {"C/3.png": "C", "a/2.png": "a", "a/deep/er/4.png": "a", "b/1.png": "b"}


def test_hidden_files_are_passed_over_in_silence(tmp_path):
    save(
        tmp_path, "a/1.png", "a/.2.png", ".git/3.png", "a/.cache/4.png", ".5.png", "a/.DS_Store", ".DS_Store"
    )
    source = open_source(tmp_path)
    assert [row.id for row in source.rows] == ["a/1.png"] and source.warnings == ()


def test_files_not_named_like_images_are_counted(tmp_path):
    save(tmp_path, "a/1.png", "a/Thumbs.db", "a/notes.txt", "readme.txt", "a/LICENSE")
    (warning,) = open_source(tmp_path).warnings
    assert "4 files" in warning and ".txt 2" in warning and ".db 1" in warning


def test_images_beside_the_class_folders_are_not_lost_in_silence(tmp_path):
    source = open_source(save(tmp_path, "a/1.png", "loose.png"))
    assert len(source.rows) == 1 and "1 image lies in no class folder: loose.png" in source.warnings[0]


@pytest.mark.parametrize("suffix", ["jpg", "JPG", "JPEG", "jfif", "png", "gif", "bmp", "webp", "tif", "TIFF"])
def test_names_of_images(suffix, tmp_path):
    assert len(open_source(save(tmp_path, f"a/1.{suffix}")).rows) == 1


@pytest.mark.parametrize(
    "tops, expected",
    [
        (("train", "test"), {"train": 1, "test": 1}),
        (("train", "val"), {"train": 1, "validation": 1}),
        (("train", "validation", "test"), {"train": 1, "validation": 1, "test": 1}),
        (("train",), {"train": 1}),
        (("train", "valid", "test"), {"train": 1, "validation": 1, "test": 1}),
        (("Train", "Validation", "Test"), {"train": 1, "validation": 1, "test": 1}),
        (("training", "dev", "testing"), {"train": 1, "validation": 1, "test": 1}),
        (("train_set", "test images"), {"train": 1, "test": 1}),
        (("train", "cat"), {None: 2}),
        (("bus", "car", "train"), {None: 3}),
        (("test", "val", "cat"), {None: 3}),
    ],
)
def test_a_folder_holds_splits_only_if_all_its_names_are_splits(tops, expected, tmp_path):
    source = open_source(save(tmp_path, *(f"{top}/dog/{number}.png" for number, top in enumerate(tops))))
    assert splits(source) == expected
    assert source.class_names == (tuple(sorted(tops)) if None in expected else ("dog",))


def test_a_split_with_folders_of_classes_that_is_read_as_a_class_is_told(tmp_path):
    names = ["train/cat/1.png", "train/dog/2.png", "extra/3.png"]
    (warning,) = open_source(save(tmp_path, *names)).warnings
    assert warning.startswith("read as a class, though named as a split: train; open train alone")
    assert not open_source(tmp_path, folders_are_classes=True).warnings
    vehicles = save(tmp_path / "vehicles", "bus/1.png", "train/2.png", "train/deep/3.png")
    assert open_source(vehicles).warnings == ()


def test_classes_of_all_splits_are_numbered_together(tmp_path):
    source = open_source(save(tmp_path, "train/b/1.png", "train/c/2.png", "test/a/3.png", "test/c/4.png"))
    assert source.class_names == ("a", "b", "c")
    labels = {"train/b/1.png": "b", "train/c/2.png": "c", "test/a/3.png": "a", "test/c/4.png": "c"}
    assert labels_by_id(source) == labels


def test_the_same_name_is_another_image_in_another_folder_or_format(tmp_path):
    source = open_source(save(tmp_path, "a/1.png", "b/1.png", "a/1.jpg"))
    held = dict(zip((row.id for row in source.rows), source.read(source.rows), strict=True))
    assert held == {"a/1.png": png(0), "b/1.png": png(1), "a/1.jpg": png(2)}


@pytest.mark.parametrize("target", ["..", "."])
def test_a_symlink_loop_ends(target, tmp_path):
    save(tmp_path, "a/1.png")
    (tmp_path / "a" / "loop").symlink_to(target, target_is_directory=True)
    assert [row.id for row in open_source(tmp_path).rows] == ["a/1.png"]


def test_a_link_to_a_folder_above_is_no_class(tmp_path):
    save(tmp_path / "images", "a/1.png")
    (tmp_path / "images" / "loop").symlink_to(tmp_path, target_is_directory=True)
    source = open_source(tmp_path / "images")
    assert (source.class_names, [row.id for row in source.rows]) == (("a",), ["a/1.png"])


def test_a_class_folder_may_be_a_link(tmp_path):
    save(tmp_path / "store", "1.png")
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a").symlink_to(tmp_path / "store", target_is_directory=True)
    source = open_source(tmp_path / "images")
    assert [row.id for row in source.rows] == ["a/1.png"] and list(source.read(source.rows)) == [png(0)]


def test_unicode_names_stay_as_they_are(tmp_path):
    names = ["猫/näme with späce 猫.png", "猫/e\N{COMBINING ACUTE ACCENT}.png", "猫/\N{CAT FACE}.png"]
    source = open_source(save(tmp_path, *names))
    assert sorted(row.id for row in source.rows) == sorted(names)
    assert source.class_names == ("猫",) and source.warnings == ()


def test_names_that_are_not_utf8_are_read_escaped_and_warned_of(tmp_path):
    source = open_source(save(tmp_path, b"a/" + LATIN + b".png", LATIN + b"/1.png", "a/2.png"))
    held = dict(zip((row.id for row in source.rows), source.read(source.rows), strict=True))
    assert held == {r"a/caf\udce9.png": png(0), r"caf\udce9/1.png": png(1), "a/2.png": png(2)}
    assert source.class_names == ("a", r"caf\udce9")
    assert "2 file names are not UTF-8" in source.warnings[0] and r"caf\udce9" in source.warnings[0]
    for text in (*held, *source.class_names, *source.warnings):
        text.encode()


def test_odd_names_in_messages_can_be_printed(tmp_path):
    folder = save(tmp_path / os.fsdecode(LATIN), b"a/notes." + LATIN)
    refusal(folder).encode()


def test_an_image_that_cannot_be_read_gives_its_error_in_its_place(tmp_path):
    save(tmp_path, "a/1.png", "a/3.png")
    (tmp_path / "a/2.png").symlink_to(tmp_path / "gone.png")
    source = open_source(tmp_path)
    first, second, third = source.read(sorted(source.rows, key=lambda row: row.id))
    assert (first, third) == (png(0), png(1)) and isinstance(second, OSError)


def test_folders_without_images_are_no_classes_and_warned_of(tmp_path):
    save(tmp_path, "a/1.png", "b/notes.txt", "c/deep/2.png")
    (tmp_path / "d" / "e").mkdir(parents=True)
    source = open_source(tmp_path)
    assert source.class_names == ("a", "c")
    assert source.warnings[1:] == ("folders without any image, which are no classes: b, d",)


@pytest.mark.parametrize(
    "names, received",
    [
        ((), "an empty folder"),
        (("a/notes.txt", "b/list.csv"), "2 files"),
        ((".a/1.png", "b/.1.png"), "an empty folder"),
    ],
)
def test_a_folder_without_images_is_refused(names, received, tmp_path):
    assert received in refusal(save(tmp_path, *names))


# CSV files


def test_csv_reads_paths_labels_splits_and_groups(tmp_path):
    table = (
        'group,path,label,split,note\np1,b/2.png,dog,val,x\n,"a, 1.png","cat, small",,y\np1,./b/3.png,,test,'
    )
    source = open_source(save_csv(tmp_path, table, "b/2.png", "a, 1.png", "b/3.png"))
    assert source.class_names == ("cat, small", "dog")
    rows = [(row.id, row.label, row.split, row.group) for row in source.rows]
    assert rows == [
        ("b/2.png", 1, "validation", "p1"),
        ("a, 1.png", 0, None, None),
        ("b/3.png", -1, "test", "p1"),
    ]
    assert list(source.read(source.rows)) == [png(0), png(1), png(2)]


@pytest.mark.parametrize(
    "table",
    [
        b"\xef\xbb\xbfpath,label\n1.png,a\n",
        b"path,label\r\n1.png,a\r\n",
        b"path,label\n1.png,a",
        b"path,label\n\n1.png,a\n\n",
        b'"path","label"\n"1.png","a"\n',
        b"path,label,split,group\n1.png,a\n",
        "path,label\n1.png,a\n".encode("utf-16"),
        "path,label\n1.png,a\n".encode("utf-32"),
        b"\rpath,label\r1.png,a\r"[1:],
        b"Path, LABEL \n1.png, a\n",
        b"sep=,\npath,label\n1.png,a\n",
        b"SEP=;\r\npath;label\r\n1.png;a\r\n",
        b"path;label\n1.png;a\n",
        b"path\tlabel\n1.png\ta\n",
        b"path,label\n1.png,a,,\n,,,\n",
        b"path,label\n.\\1.png,a\n",
    ],
    ids=[
        *("BOM", "CRLF", "no last newline", "blank lines", "quotes", "short line", "UTF-16", "UTF-32", "CR"),
        *("capitals and blanks", "sep", "sep and ;", ";", "tabulators", "empty fields", "backslash"),
    ],
)
def test_csv_as_programs_write_it(table, tmp_path):
    source = open_source(save_csv(tmp_path, table, "1.png"))
    assert labels_by_id(source) == {"1.png": "a"} and splits(source) == {None: 1}


def test_csv_numbers_as_labels_are_sorted_as_numbers(tmp_path):
    table = "path,label\n1.png,10\n2.png,9\n3.png,\n"
    source = open_source(save_csv(tmp_path, table, "1.png", "2.png", "3.png"))
    assert source.class_names == ("9", "10") and [row.label for row in source.rows] == [1, 0, -1]


def test_csv_of_another_encoding_names_it(tmp_path):
    text = "path,label,group\ncafé.png,thé,crème\n"
    source = open_source(save_csv(tmp_path, text.encode("cp1252"), "café.png"))
    assert source.class_names == ("thé",)
    assert (source.rows[0].id, source.rows[0].group) == ("café.png", "crème")
    assert ["cp1252" in text for text in source.warnings] == [True]
    for words in ("'café.png'", "names may be wrong", "save the file as UTF-8", "iconv -f ENCODING -t UTF-8"):
        assert words in source.warnings[0]
    assert "utf-16" in open_source(save_csv(tmp_path, text.encode("utf-16"))).warnings[0]
    assert open_source(save_csv(tmp_path, text)).warnings == ()


def test_csv_in_shift_jis_is_warned_of_or_refused_with_how_to_convert_it(tmp_path):
    table = "path,label\n1.png,{}\n2.png,b\n"
    read = open_source(save_csv(tmp_path, table.format("猫").encode("shift-jis"), "1.png", "2.png"))
    assert read.class_names == ("b", "”L") and "names may be wrong: '”L'; if they are" in read.warnings[0]
    text = refusal(save_csv(tmp_path, table.format("人").encode("shift-jis")))
    assert "iconv -f ENCODING -t UTF-8 (SHIFT_JIS" in text
    assert open_source(save_csv(tmp_path, table.format("猫"))).class_names == ("b", "猫")


def test_csv_takes_absolute_paths_inside_its_folder_also_behind_a_link(tmp_path):
    folder = save(tmp_path / "real", "1.png")
    (tmp_path / "link").symlink_to(folder)
    for place in (folder, tmp_path / "link"):
        (folder / "list.csv").write_text(f"path,label\n{place / '1.png'},a\n")
        for opened in {folder, place}:
            source = open_source(opened / "list.csv")
            assert [row.id for row in source.rows] == ["1.png"] and list(source.read(source.rows)) == [png(0)]


def test_csv_paths_begin_in_the_root(tmp_path):
    images, table = save(tmp_path / "images", "sub/1.png"), tmp_path / "lists"
    path = save_csv(table, "path,label\nsub/1.png,a\n")
    assert "none of the files" in refusal(path) and "--root FOLDER" in refusal(path)
    save_csv(table, f"path,label\nsub/1.png,a\n{images}/sub/../2.png,b\n")
    source = open_source(path, root=images)
    assert [row.id for row in source.rows] == ["sub/1.png", "2.png"]
    assert next(iter(source.read(source.rows))) == png(0)
    assert source.address() == {"text": str(path), "root": str(images)}


@pytest.mark.parametrize(
    ("way", "name"),
    [
        ("../out.png", "../out.png"),
        ("sub/../../out.png", "../out.png"),
        ("{}/out.png", "../out.png"),
        ("{}/lists/1.png", "../lists/1.png"),
    ],
)
def test_csv_paths_may_lie_outside_the_root(way, name, tmp_path):
    """A table is the user's own; an id is the path from the root."""
    save(tmp_path, "out.png")
    save(tmp_path / "lists", "1.png")
    path = save_csv(tmp_path / "lists", f"path,label\n1.png,a\n{way.format(tmp_path)},b\n")
    source = open_source(path, root=save(tmp_path / "images", "1.png"))
    assert [row.id for row in source.rows] == ["1.png", name] and source.warnings == ()
    assert list(source.read(source.rows))[1] == png(0)
    again = open_source(**source.address())
    assert list(again.read(again.rows)) == list(source.read(source.rows))


@pytest.mark.parametrize("delimiter", ["|", ":", "~", " ", "\x1f"])
def test_csv_of_any_delimiter(delimiter, tmp_path):
    table = delimiter.join(("path", "label")) + "\n" + delimiter.join(("1.png", "a")) + "\n"
    assert labels_by_id(open_source(save_csv(tmp_path, table, "1.png"))) == {"1.png": "a"}


def test_columns_are_named(tmp_path):
    table = "File Name;Klasse;Teil;Patient;note\n1.png;a;val;p1;x\n2.png;b;train;p2;y\n"
    how = {
        "path_column": "file name",
        "label_column": "Klasse",
        "split_column": "Teil",
        "group_column": "Patient",
    }
    source = open_source(save_csv(tmp_path, table, "1.png", "2.png"), **how)
    assert labels_by_id(source) == {"1.png": "a", "2.png": "b"}
    assert [(row.split, row.group) for row in source.rows] == [("validation", "p1"), ("train", "p2")]
    assert source.warnings == (f"{str(tmp_path / 'list.csv')!r}: columns that are not read: note",)
    again = open_source(**source.address())
    assert again.rows == source.rows


def test_a_column_that_is_named_and_missing_is_told(tmp_path):
    table = save_csv(tmp_path, "path,label\n1.png,a\n", "1.png")
    told = refusal(table, group_column="patient")
    assert "lacks the column 'patient'" in told and "path,label" in told
    told = refusal(save_csv(tmp_path, "image,kind\n1.png,a\n"))
    assert "'path'" in told and "--path-column and --label-column" in told


def test_a_table_without_labels_is_one_of_images_without_them(tmp_path):
    (tmp_path / "list.tsv").write_text("path\tgroup\n1.png\tp\n")
    save(tmp_path, "1.png")
    source = open_source(tmp_path / "list.tsv")
    assert labels_by_id(source) == {"1.png": None}
    assert "has no column of labels: 1 image without a label" in source.warnings[0]


def test_a_root_is_a_folder_of_a_csv_file(tmp_path):
    path = save_csv(tmp_path, "path,label\n1.png,a\n", "1.png")
    assert open_source(path, root=tmp_path).address() == {"text": str(path)}
    assert "does not exist" in refusal(path, root=tmp_path / "none")
    assert "a file" in refusal(path, root=tmp_path / "1.png")
    assert "--root has no meaning" in refusal(tmp_path, root=tmp_path)


def test_csv_finds_a_name_in_the_other_form_of_its_accents(tmp_path):
    source = open_source(save_csv(tmp_path, "path,label\n\u00e9.png,a\n", "e\u0301.png"))
    assert source.rows[0].id == "e\u0301.png" and list(source.read(source.rows)) == [png(0)]


def test_csv_rows_without_a_file_are_rows_that_cannot_be_read(tmp_path):
    table = f"path,label\n1.png,a\ngone.png,b\nsub,b\n{'n' * 5000},b\n"
    source = open_source(save_csv(tmp_path, table, "1.png", "sub/2.png"))
    assert [type(data) is bytes for data in source.read(source.rows)] == [True, False, False, False]


def test_csv_columns_that_are_not_read_are_named(tmp_path):
    source = open_source(save_csv(tmp_path, ",path,label,subset\n0,1.png,a,train\n", "1.png"))
    assert "not read: subset" in source.warnings[0] and source.rows[0].split is None


def test_csv_groups_that_look_alike_are_warned_of(tmp_path):
    table = "path,label,group\n1.png,a,\u00e9\n2.png,a,e\u0301\n"
    assert "groups that look alike" in open_source(save_csv(tmp_path, table, "1.png", "2.png")).warnings[0]


def test_csv_with_names_that_are_not_utf8(tmp_path):
    name = LATIN + b".png"
    table = b"path,label,group\n" + name + b"," + LATIN + b"," + LATIN + b"\n1.png,a,\n"
    source = open_source(save_csv(tmp_path, table, name, "1.png"))
    assert source.rows[0].id == r"caf\udce9.png" and any("UTF-8" in text for text in source.warnings)
    assert list(source.read(source.rows)) == [png(0), png(1)]
    for text in (*source.class_names, source.rows[0].group):
        text.encode()  # as HDF5 and JSON do


@pytest.mark.parametrize(
    "table, words",
    [
        ("", ["'path'"]),
        ("path,class\n1.png,a\n", ["'label'", "not read: class", "--label-column"]),
        ("label\na\n", ["'path'"]),
        ("sep=;\npath,label\n1.png,a\n", ["'path'", "path,label"]),
        ("path,label\n1.png,Tomato, early\n", ["line 2", "'early'", "quotes"]),
        ("sep=,\npath,label\n1.png,a\n1.png,a,b\n", ["line 4", "more fields"]),
        ("path,label\n1.png\n", ["line 2", "ends before"]),
        ("path,label,label\n1.png,a,b\n", ["'label' twice"]),
        ('path,label\n1.png,"a\n2.png,b\n', ["line 2 on", "unexpected end", "double quote"]),
        ('"path,label\n1.png,a\n', ["line 1 on", "unexpected end"]),
        ('sep=;\npath;label\n1.png;a\n\n2.png;"b\nc";x\n3.png;"b\n', ["line 7 on"]),
        ("path,label\n1.png,a\n".encode("utf-16-le"), ["encoding", "UTF-16"]),
        (b"\xff\xfep", ["encoding", "truncated"]),
        (b"path,label\n1.png,\x81\n", ["encoding", "x81"]),
        ("path,label\n", ["no images"]),
        ("path,label\n\ngone.png,a\nlost.png,a\n", ["none of the files", "line 3", "gone.png"]),
        ("path,label\n,a\n", ["line 2", "empty path"]),
        ("path,label\n1\0.png,a\n", ["line 2"]),
        ("path,label\n1.png,a\n./1.png,b\n", ["'1.png' twice", "lines 2 and 3"]),
        ("path,label,split\n1.png,a,first\n", ["line 2", "'first'", "validation"]),
        ('path,label\n"1.png,a\n' + "1.png,a\n" * 20000, ["list.csv", "line 2 on"]),
    ],
)
def test_csv_refusals(table, words, tmp_path):
    save(tmp_path, "out.png")
    text = refusal(save_csv(tmp_path / "in", table, "1.png", "sub/2.png"))
    assert not [word for word in words if word not in text], text


# Arrays and NPZ files


def test_npz_reads_images_labels_splits_and_class_names(tmp_path):
    path = save_npz(
        tmp_path,
        images=pixels(),
        labels=[1, 0, -1, 1],
        splits=["train", "", "val", "test"],
        class_names=["a", "b"],
    )
    source = open_source(path)
    assert source.class_names == ("a", "b") and [row.label for row in source.rows] == [1, 0, -1, 1]
    assert [row.split for row in source.rows] == ["train", None, "validation", "test"]
    assert [row.id for row in source.rows] == ["00000000", "00000001", "00000002", "00000003"]
    for data, image in zip(source.read(source.rows), pixels(), strict=True):
        np.testing.assert_array_equal(np.load(io.BytesIO(data)), image)


@pytest.mark.parametrize(
    "labels, names, indices",
    [
        ([3, 10, -1, 3], ("3", "10"), [0, 1, -1, 0]),
        (np.array([0, 1, 1, 0], np.uint8), ("0", "1"), [0, 1, 1, 0]),
        (["dog", "cat", "", None], ("cat", "dog"), [1, 0, -1, -1]),
        (["dog", "cat", "cat", -1], ("-1", "cat", "dog"), [2, 1, 1, 0]),
        (["dog", "cat", "nan", float("nan")], ("cat", "dog", "nan"), [1, 0, 2, -1]),
        ([0.0, 10.0, 9.0, np.nan], ("0", "9", "10"), [0, 2, 1, -1]),
        (np.array([0, 2, -1, np.nan], np.float32), ("0", "2"), [0, 1, -1, -1]),
        (["0.0", "10.0", "9.0", "-1.0"], ("0.0", "9.0", "10.0"), [0, 2, 1, -1]),
        (["0", "1", "NaN", "-1"], ("0", "1"), [0, 1, -1, -1]),
        (np.array([b"dog", b"cat", b"cat", b""]), ("cat", "dog"), [1, 0, 0, -1]),
    ],
)
def test_labels_of_arrays(labels, names, indices):
    source = from_arrays(pixels(), labels)
    assert source.class_names == names and [row.label for row in source.rows] == indices


@pytest.mark.parametrize(
    "labels, names, said",
    [
        ([7, 8, -1, -1], ("7", "8"), "2 images with the label -1: unknown"),
        (["dog", "cat", "cat", -1], ("-1", "cat", "dog"), "1 image with the label -1: a class"),
    ],
)
def test_minus_one_is_unknown_among_whole_numbers_and_a_class_beside_names(labels, names, said, tmp_path):
    source = open_source(save_npz(tmp_path, images=pixels(), labels=labels))
    assert source.class_names == names and len(source.warnings) == 1 and source.warnings[0].startswith(said)
    listed = "".join(f"{number}.png,{label}\n" for number, label in enumerate(labels))
    files = [f"{number}.png" for number in range(4)]
    table = open_source(save_csv(tmp_path, "path,label\n" + listed, *files))
    assert (table.class_names, table.warnings) == (source.class_names, source.warnings)


@pytest.mark.parametrize(
    "labels, said",
    [
        (
            ["0", "1", "1", "-2"],
            ["1 image with the label -2: a class; where it means unlabelled, leave the cell"],
        ),
        (["0", "1", "255", "255"], ["2 images with the label 255: a class;"]),
        (
            ["cat", "None", "NULL", "None"],
            ["3 images with the labels NULL (1), None (2): classes; where they mean"],
        ),
        (["cat", "NA", "nan", "inf"], ["3 images with the labels NA (1), inf (1), nan (1): classes;"]),
        (
            ["-1", "0", "-2", "255"],
            ["1 image with the label -1: unknown", "2 images with the labels -2 (1), 255 (1)"],
        ),
        (["253", "254", "255", "0"], []),
        (["999", "2000", "cat", ""], []),
        (["Nancy", "Inf.", "nation", "null-1"], []),
    ],
)
def test_labels_that_often_mean_unknown_and_are_classes_are_named_with_what_to_do(labels, said, tmp_path):
    listed = "".join(f"{number}.png,{label}\n" for number, label in enumerate(labels))
    table = open_source(
        save_csv(tmp_path, "path,label\n" + listed, *(f"{number}.png" for number in range(4)))
    )
    for source in (
        table,
        open_source(save_npz(tmp_path, images=pixels(), labels=labels)),
        from_arrays(pixels(), labels),
    ):
        assert len(source.warnings) == len(said)
        assert all(map(str.startswith, source.warnings, said)), source.warnings


def test_infinity_and_odd_numbers_in_arrays_are_named(tmp_path):
    (text,) = from_arrays(pixels(), [0.0, 1.0, np.inf, 255]).warnings
    assert text.startswith("2 images with the labels 255 (1), inf (1): classes;")
    (text,) = open_source(
        save_npz(tmp_path, images=pixels(), labels=np.array([0, 1, 1, 255], np.uint8))
    ).warnings
    assert (
        text
        == "1 image with the label 255: a class; where it means unlabelled, leave the cell empty or write -1"
    )


def test_npz_without_labels_is_told(tmp_path):
    source = open_source(save_npz(tmp_path, images=pixels()))
    assert [row.label for row in source.rows] == [-1] * 4 and source.class_names == ()
    assert source.warnings == ("no array of labels: 4 images without a label",)


def test_npz_labels_with_nan_fit_class_names_and_arrays_that_are_not_read_are_named(tmp_path):
    path = save_npz(
        tmp_path, images=pixels(), labels=[1, 0, np.nan, -1], class_names=[b"a", b"b"], split=["train"] * 4
    )
    source = open_source(path)
    assert source.class_names == ("a", "b") and [row.label for row in source.rows] == [1, 0, -1, -1]
    unread, *unknown = source.warnings
    assert "not read: split" in unread
    assert unknown == [
        "1 image with the label nan: unknown",
        "1 image with the label -1: unknown, as class names count from 0",
    ]


def test_nan_among_the_labels_of_an_npz_is_said_to_be_unknown(tmp_path):
    (said,) = open_source(save_npz(tmp_path, images=pixels(), labels=[0.0, np.nan, 1.0, np.nan])).warnings
    assert said == "2 images with the label nan: unknown"
    assert from_arrays(pixels(), ["cat", None, "", "dog"]).warnings == ()


@pytest.mark.parametrize("labels", [5, [[0, 1]] * 4, np.eye(4)])
def test_labels_that_are_not_one_for_each_image_are_refused(labels):
    with pytest.raises(HeadstartError) as caught:
        from_arrays(pixels(), labels)
    assert_four_parts(str(caught.value))


@pytest.mark.parametrize("column", [np.array([[3], [5], [3], [5]]), [[3], [5], [3], [5]]])
def test_labels_in_a_column_are_flattened_or_refused(column):
    """As keras.datasets.cifar10 gives them."""
    try:
        source = from_arrays(pixels(), column)
    except HeadstartError as error:
        assert_four_parts(str(error))
    else:
        assert source.class_names == ("3", "5")


@pytest.mark.parametrize("shape", [(4, 8, 9), (4, 8, 9, 1), (4, 8, 9, 3), (4, 8, 9, 4)])
@pytest.mark.parametrize("dtype", ["u1", "u2", "u4", "u8", "i2", "i8", "f2", "f4", "f8", ">u2", ">f4", "g"])
def test_arrays_of_every_type_decode(dtype, shape):
    """Or are refused at once, and not in the middle of a run."""
    values = np.random.default_rng(0).integers(0, 256, shape)
    source = from_arrays(values.astype(dtype), [0, 1, 0, 1])
    loaded = [load_image(data, (8, 9)) for data in source.read(source.rows)]
    expected = [
        load_image(data, (8, 9)) for data in from_arrays(values.astype("u1"), [0, 1, 0, 1]).read(source.rows)
    ]
    np.testing.assert_allclose(loaded, expected, atol=0.3)


def test_bytes_of_arrays_do_not_depend_on_memory_layout():
    plain = from_arrays(pixels(), [0, 1, 0, 1])
    other = from_arrays(np.asfortranarray(pixels()), [0, 1, 0, 1])
    assert list(plain.read(plain.rows)) == list(other.read(other.rows))
    little, big = (from_arrays(pixels().astype(dtype), [0, 1, 0, 1]) for dtype in ("<u2", ">u2"))
    assert list(little.read(little.rows)) == list(big.read(big.rows))


@pytest.mark.parametrize(
    "arrays, words",
    [
        ({"images": pixels(), "labels": [0, 1, 0]}, ["labels", "4", "3"]),
        ({"images": pixels(), "labels": 0}, ["labels", "4", "1"]),
        ({"images": pixels(), "labels": [0, 1, 0, 1], "splits": ["train"]}, ["splits", "4", "1"]),
        ({"images": pixels(), "labels": [0, 1, 0, 1], "splits": ["first"] * 4}, ["'first'", "validation"]),
        ({"images": pixels(), "labels": [0, 1, 0, 2], "class_names": ["a", "b"]}, ["0 to 1", "2"]),
        ({"images": pixels(), "labels": [0, 1, 0, -2], "class_names": ["a", "b"]}, ["0 to 1", "-2"]),
        ({"images": pixels(), "labels": [0, 1, 0, 0.5], "class_names": ["a", "b"]}, ["0 to 1", "0.5"]),
        ({"images": pixels(), "labels": [0, 1, 0, 1], "class_names": ["a", "a"]}, ["one name", "'a' twice"]),
        ({"images": pixels() / 255, "labels": [0, 1, 0, 1]}, ["0..255", "multiply by 255"]),
        ({"images": pixels() / 1.0 - 1, "labels": [0, 1, 0, 1]}, ["0..255", "-1"]),
        ({"images": pixels() * 256.0, "labels": [0, 1, 0, 1]}, ["0..255"]),
        ({"images": np.full((2, 4, 4), np.nan), "labels": [0, 1]}, ["0..255", "nan"]),
        ({"images": np.full((2, 4, 4), "a"), "labels": [0, 1]}, ["(2, 4, 4)", "give whole numbers"]),
        ({"images": pixels() > 9, "labels": [0, 1, 0, 1]}, ["0..255", "astype('uint8') * 255"]),
        ({"images": pixels() / 127.5 - 1, "labels": [0, 1, 0, 1]}, ["0..255", "(array + 1) * 127.5"]),
        ({"images": pixels(), "labels": np.eye(4)}, ["several values for each", "labels.argmax(1)"]),
        ({"images": pixels()[0, 0], "labels": [0, 1, 0, 1, 0]}, ["(5, 3)"]),
        ({"images": np.zeros((2, 4, 4, 2), np.uint8), "labels": [0, 1]}, ["(2, 4, 4, 2)"]),
        ({"images": np.zeros((0, 4, 4, 3), np.uint8), "labels": []}, ["(0, 4, 4, 3)", "one image or more"]),
        ({"labels": [0, 1]}, ["'images'", "labels"]),
        ({"images": pixels(), "labels": np.array([0, 1, "a", None], object)}, ["pickle"]),
    ],
)
def test_npz_refusals(arrays, words, tmp_path):
    text = refusal(save_npz(tmp_path, **arrays))
    assert not [word for word in words if word not in text], text


def compressed() -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, images=pixels(), labels=[0, 1, 0, 1])
    return buffer.getvalue()


def plain_npy() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, pixels())
    return buffer.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello",
        plain_npy(),
        compressed()[:-30],
        compressed()[:90] + b"\xff\0\xff" + compressed()[93:],
    ],
    ids=["empty", "text", "npy", "truncated", "damaged"],
)
def test_what_is_no_npz_file_is_refused(content, tmp_path):
    (tmp_path / "file.npz").write_bytes(content)
    assert "file.npz" in refusal(tmp_path / "file.npz")


def test_images_of_unequal_size_are_refused():
    with pytest.raises(HeadstartError) as caught:
        from_arrays([np.zeros((4, 4)), np.zeros((4, 5))], [0, 1])
    assert_four_parts(str(caught.value))


def test_index_labels_and_split_name_are_one_rule_for_all_sources():
    assert index_labels(["b", "a", "", None, -1]) == (("-1", "a", "b"), [2, 1, -1, -1, 0])
    names = ("train", "val", "validation", "test", "", "Training", "DEV", "valid", "Testing")
    splits = ["train", "validation", "validation", "test", None, "train", "validation", "validation", "test"]
    assert [split_name(name, "") for name in names] == splits


# TensorFlow Datasets


@pytest.mark.parametrize(
    "spec, expected",
    [
        ("", {"train": 60, "test": 5}),
        (":1.0.0", {"train": 60, "test": 5}),
        (":test,train", {"train": 60, "test": 5}),
        (":train", {None: 60}),
        (":train+test", {None: 65}),
        (":train[:40%],train[40%:50%],train[50%:60%]", {"train": 24, "validation": 6, "test": 6}),
        (":1.0.0:train[:12],train[-4:]", {"train": 12, "test": 4}),
        (":train[5:6], test", {"train": 1, "test": 5}),
    ],
)
def test_tfds_splits(spec, expected, prepared):
    source = open_source(f"tfds:squares{spec}", data_dir=prepared)
    assert splits(source) == expected and source.class_names == ("even", "odd")
    shades = [int(load_image(data, (4, 5))[1, 0, 0]) for data in source.read(source.rows)]
    assert [row.label for row in source.rows] == [shade % 2 for shade in shades]
    assert len(set(shades)) == len(shades)


def test_tfds_ids_are_tfds_own_and_do_not_depend_on_the_splits(prepared):
    whole = open_source("tfds:squares", data_dir=prepared)
    part = open_source("tfds:squares:train[60%:]", data_dir=prepared)
    assert whole.rows[0].id == "squares-train.tfrecord-00000-of-00003__0"
    held = dict(zip((row.id for row in whole.rows), whole.read(whole.rows), strict=True))
    assert [held[row.id] for row in part.rows] == list(part.read(part.rows))


def test_tfds_keeps_the_encoded_bytes(prepared):
    source = open_source("tfds:squares:test", data_dir=prepared)
    assert all(data.startswith(b"\x89PNG") for data in source.read(source.rows))


@pytest.mark.parametrize(
    "text, words",
    [
        ("tfds:", ["tfds:NAME"]),
        ("tfds:squares:", ["tfds:NAME"]),
        ("tfds:cats_vs_dog", ["cats_vs_dogs"]),
        ("tfds:squares:2.0.0", ["2.0.0", "version"]),
        ("tfds:squares:nope", ["'nope'", "train, test"]),
        ("tfds:squares:train[", ["'train['"]),
        ("tfds:squares:train[:50%],train[40%:]", ["twice"]),
        ("tfds:squares:train,train", ["twice"]),
        ("tfds:squares:train[:1],train[1:2],train[2:3],test", ["three"]),
        ("tfds:squares:train[:0]", ["train[:0]"]),
        ("tfds:squares:train[7:7],test", ["train[7:7]"]),
        ("tfds:squares:train,test[5:]", ["test[5:]"]),
        ("tfds:words", ["no image", "text"]),
    ],
)
def test_tfds_refusals(text, words, prepared):
    told = refusal(text, data_dir=prepared)
    assert not [word for word in words if word not in told], told


def test_tfds_prepares_once_and_tells_what_stops_it(tmp_path):
    """The builders' code registers them under their names, as a user's own code does."""
    import tensorflow_datasets as tfds

    prepared = []

    class HeadstartOnce(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            features = {"image": tfds.features.Image(), "label": tfds.features.ClassLabel(num_classes=2)}
            return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

        def _split_generators(self, dl_manager):
            prepared.append(self.name)
            return {"train": self._generate_examples()}

        def _generate_examples(self):
            yield 0, {"image": np.zeros((2, 2, 3), np.uint8), "label": 1}

    class HeadstartUnreachable(HeadstartOnce):
        def _split_generators(self, dl_manager):
            raise ConnectionError("no route to host")

    for _ in range(2):
        assert len(open_source("tfds:headstart_once", data_dir=tmp_path).rows) == 1
    assert prepared == ["headstart_once"]
    assert "no route to host" in refusal("tfds:headstart_unreachable", data_dir=tmp_path)


@pytest.mark.parametrize("version", ["", "4.0.1:"])
def test_the_splits_of_the_guide(version, shared):
    source = open_source(f"tfds:cats_vs_dogs:{version}{GUIDE}", data_dir=shared / "tfds")
    assert splits(source) == {"train": 400, "validation": 100, "test": 100}
    assert source.class_names == ("cat", "dog") and source.rows[0].id.startswith("cats_vs_dogs-train")
    assert source.describe() == {
        "kind": "tfds",
        "name": "cats_vs_dogs",
        "version": "4.0.1",
        "splits": GUIDE.split(","),
    }


@pytest.mark.parametrize(
    "text, words",
    [
        ("tfds:cats_vs_dog", ["cats_vs_dogs"]),
        ("tfds:cats_vs_dogs:9.9.9", ["9.9.9", "version"]),
        ("tfds:cats_vs_dogs:validation", ["'validation'", "train"]),
        ("tfds:cats_vs_dogs:train[:40%],train[30%:]", ["twice"]),
    ],
)
def test_refusals_on_real_records(text, words, shared):
    told = refusal(text, data_dir=shared / "tfds")
    assert not [word for word in words if word not in told], told


def test_scattered_rows_give_the_bytes_of_the_whole(shared):
    source = open_source(f"tfds:cats_vs_dogs:{GUIDE}", data_dir=shared / "tfds")
    whole = list(source.read(source.rows))
    assert len(whole) == 600 and all(data.startswith(b"\xff\xd8") for data in whole)
    chosen = [599, 0, 1, 3, 400, 399, 398, 250, 64, 129, 130, 65, 500]
    assert list(source.read([source.rows[index] for index in chosen])) == [whole[index] for index in chosen]


# The split of a row that has none

FROZEN = {
    "0000000000000000": "train",
    "cccccccccccccbff": "train",
    "cccccccccccccc00": "validation",
    "e666666666666400": "validation",
    "e666666666666401": "test",
    "ffffffffffffffff": "test",
}


@pytest.mark.parametrize("first", FROZEN)
def test_hashed_split_is_frozen(first):
    """Feature files hold splits by this rule: another rule would leak old training rows into new tests.

    The middle four are the integers on either side of 0.8 and 0.9 in float64. Only the first
    eight bytes count.
    """
    for rest in (bytes(24), bytes([255] * 24)):
        assert hashed_split(bytes.fromhex(first) + rest) == FROZEN[first]


def test_splits_of_known_contents_are_frozen():
    """By the sha256 of the image, or of the group's name in UTF-8, on every machine."""
    contents = {
        b"": "validation",
        b"headstart 0": "validation",
        b"headstart 1": "train",
        b"headstart 6": "test",
    }
    assert {text: hashed_split(hashlib.sha256(text).digest()) for text in contents} == contents
    assert group_digest("patient é").hex()[:16] == "f400f2f70e083413"


def test_splits_of_the_photographs_are_frozen(shared):
    source = open_source(shared / "photos/train")
    found = Counter(hashed_split(hashlib.sha256(data).digest()) for data in source.read(source.rows))
    assert found == {"train": 1614, "validation": 210, "test": 178}


def test_the_arms_of_a_benchmark_hash_no_image_again(images, monkeypatch):
    """Each opens the source anew and reads some of its rows: what is known of the whole serves them."""
    source = open_source(images)
    for path in Path(source.location).rglob("*.png"):
        os.utime(path, (1e9, 1e9))  # at rest: a file of a moment ago is read again
    known = scan_source(source)
    opened = open_source(images)
    kept = opened.rows[1::2]
    monkeypatch.setattr(FileSource, "read", lambda self, rows: iter([None for _ in rows]))
    scan = scan_source(SomeRows(opened, tuple(kept)))
    assert (scan.rows, scan.digests) == (tuple(kept), known.digests[1::2])
    images.joinpath("red", "000.png").write_bytes(b"another one")
    monkeypatch.undo()
    partial = open_source(images)
    scan_source(SomeRows(partial, tuple(partial.rows[-2:])))
    monkeypatch.setattr(FileSource, "read", lambda self, rows: iter([b"read" for _ in rows]))
    read = [digest == hashlib.sha256(b"read").digest() for digest in scan_source(open_source(images)).digests]
    assert read.count(True) == 1  # that part of the source did not replace what is known of the whole
