"""Images of feature rows: where they lie is remembered outside the file, and bytes tell which is whose."""

import hashlib
import json
import os
import shutil
import threading

import numpy as np
import pytest
from conftest import draw_images, refused, run_command
from small import drawn_features

import classify.features.images
from classify import load_features
from classify.features.images import Images
from data import Source, open_source
from data.output.cache import cache_folder
from data.sources.arrays import from_arrays
from data.sources.remembered import remember, remember_for, remembered
from data.sources.subset import SomeRows
from extract import FeatureFile, Options, extract
from extract.feature_file.repair import repair
from extract.feature_file.writer import merge


@pytest.fixture(scope="module")
def made(tiny_recipe, tmp_path_factory):
    """A folder of 16 images, its feature file, and what our cache knows of it."""
    folder = tmp_path_factory.mktemp("pictures")
    extract(draw_images(folder / "images", each=8), tiny_recipe, folder / "file.h5")
    return folder


@pytest.fixture
def features(made):
    return load_features(made / "file.h5")


@pytest.fixture
def moved(made, tmp_path):
    """A copy of the images elsewhere, of which our cache knows nothing."""
    return shutil.copytree(made / "images", tmp_path / "moved")


def digest(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def right(images, features) -> int:
    """Count the rows whose image is read, all of which must be those of the rows."""
    found = {row: data for row, data in images.each() if data is not None}
    assert all(digest(data) == features.digests[row].tobytes() for row, data in found.items())
    return len(found)


# Where the images lie


def test_a_run_remembers_where_its_images_lie_and_the_file_does_not(made):
    address = remembered(FeatureFile(made / "file.h5").content_digest)
    assert address == {"text": str(made / "images"), "folders_are_classes": True}
    assert os.fsencode(made) not in (made / "file.h5").read_bytes()


def test_a_second_run_remembers_where_they_are_now(made, moved, tiny_recipe, tmp_path):
    path = shutil.copy(made / "file.h5", tmp_path / "file.h5")
    before = FeatureFile(path).content_digest
    try:
        assert extract(moved, tiny_recipe, path).computed == 0
        assert remembered(before)["text"] == str(moved)
    finally:
        remember(before, open_source(made / "images"))


def test_a_sharded_file_one_merged_of_it_and_a_repaired_one_have_them_too(made, tiny_recipe, tmp_path):
    extract(made / "images", tiny_recipe, tmp_path / "shards", Options(layout="sharded"))
    merge(tmp_path / "shards", tmp_path / "merged.h5")
    data = bytearray((tmp_path / "merged.h5").read_bytes())
    first = np.asarray(FeatureFile(tmp_path / "merged.h5").features("avg_pool")[3]).tobytes()
    data[data.index(first) + 5] ^= 1
    (tmp_path / "mended.h5").write_bytes(data)
    assert repair(tmp_path / "mended.h5").dropped == 1
    for name, rows in (("shards", 16), ("merged.h5", 16), ("mended.h5", 15)):
        features = load_features(tmp_path / name)
        assert right(Images.of(features), features) == rows


def test_what_is_in_memory_alone_is_not_remembered():
    source = from_arrays(np.zeros((2, 8, 8), np.uint8), ["a", "b"])
    remember("1" * 64, source)
    remember_for("2" * 64, "1" * 64)
    assert remembered("1" * 64) is remembered("2" * 64) is None


def test_some_rows_of_a_source_are_found_in_the_whole(made, tiny_recipe, tmp_path):
    whole = open_source(made / "images")
    extract(SomeRows(whole, tuple(whole.rows[3:])), tiny_recipe, tmp_path / "some.h5")
    features = load_features(tmp_path / "some.h5")
    assert right(Images.of(features), features) == 13


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        '{"text": "digits"}',
        '{"format": "headstart source"}',
        '{"format": "headstart source", "text": 1}',
        '{"format": "headstart source", "text": "digits", "os.system": "true"}',
    ],
)
def test_what_is_no_memory_of_ours_is_as_none(text):
    path = cache_folder() / "sources" / f"{'3' * 64}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    assert remembered("3" * 64) is None
    remember("3" * 64, open_source("digits"))
    assert remembered("3" * 64) == {"text": "digits"}


def test_a_cache_that_cannot_be_written_is_no_error(images, tiny_recipe, tmp_path, monkeypatch):
    extract(images, tiny_recipe, tmp_path / "file.h5")
    digest = FeatureFile(tmp_path / "file.h5").content_digest
    (tmp_path / "taken").write_text("no folder")
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "taken"))
    remember(digest, open_source(images))
    assert remembered(digest) is None
    found = Images.of(tmp_path / "file.h5")
    assert found.read(0) is None and "--source" in found.warning()


def test_several_processes_may_remember_at_once(images, tmp_path):
    """Whichever is last, what is read is whole."""
    code = (
        "import sys; from data import open_source; from data.sources.remembered import remember, remembered\n"
        "sources = [open_source(sys.argv[1]), open_source('digits')]\n"
        "for turn in range(60):\n"
        "    remember('4' * 64, sources[turn % 2]); assert remembered('4' * 64)"
    )
    (tmp_path / "turns.py").write_text(code)
    done = []
    threads = [
        threading.Thread(target=lambda: done.append(run_command("turns", images, cwd=tmp_path)))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [(each.returncode, each.stderr) for each in done] == [(0, "")] * 3
    assert not list((cache_folder() / "sources").glob("*.tmp"))
    assert json.loads((cache_folder() / "sources" / f"{'4' * 64}.json").read_text())["text"]


# What is read


def test_every_row_is_read(features):
    images = Images.of(features)
    assert right(images, features) == len(images) == 16
    assert digest(images.read(5)) == features.digests[5].tobytes()
    assert (images.missing, images.changed, images.warning()) == (0, 0, "")


@pytest.mark.parametrize("kind", [FeatureFile, str, lambda path: path, load_features])
def test_of_files_paths_and_matrices(kind, made):
    path = made / "file.h5"
    assert digest(Images.of(kind(path)).read(7)) == FeatureFile(path).digests[7].tobytes()


@pytest.mark.parametrize("text", ["digits", "arrays.npz"])
def test_arrays_are_read_too(text, tiny_recipe, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (12, 8, 8), np.uint8)
    np.savez(tmp_path / "arrays.npz", images=pixels, labels=["a", "b"] * 6)
    extract(text if text == "digits" else tmp_path / text, tiny_recipe, tmp_path / "file.h5")
    features = load_features(tmp_path / "file.h5")
    assert right(Images.of(features), features) == (600 if text == "digits" else 12)


def test_the_named_source_comes_before_the_remembered_one(features, moved):
    images = Images.of(features, str(moved))
    assert images.source.location == str(moved) and right(images, features) == 16


def test_a_csv_file_with_a_root_can_be_named(features, moved, tmp_path):
    paths = sorted(path.relative_to(moved) for path in moved.rglob("*.png"))
    table = tmp_path / "elsewhere" / "list.csv"
    table.parent.mkdir()
    table.write_text("path,label\n" + "".join(f"{path},{path.parent}\n" for path in paths))
    assert right(Images.of(features, table, root=moved), features) == 16


def test_a_folder_whose_classes_are_named_as_splits_can_be_named(features, moved):
    (moved / "blue").rename(moved / "train")
    (moved / "red").rename(moved / "test")
    (moved / "others").mkdir()
    assert right(Images.of(features, moved), features) == 16


def test_renamed_and_swapped_images_are_found_by_their_bytes(features, moved):
    (moved / "blue" / "001.png").rename(moved / "red" / "a new name.png")
    first, second = moved / "blue" / "002.png", moved / "red" / "003.png"
    one, two = first.read_bytes(), second.read_bytes()
    first.write_bytes(two)
    second.write_bytes(one)
    images = Images.of(features, moved)
    assert right(images, features) == 16
    assert (images.missing, images.changed, images.warning()) == (0, 0, "")


def test_images_that_are_gone_or_changed_are_counted_and_never_served(features, moved):
    (moved / "blue" / "001.png").unlink()
    (moved / "blue" / "002.png").write_bytes(b"another image")
    images = Images.of(features, moved)
    row = features.ids.index("blue/002.png")
    assert images.read(row) is None and (images.missing, images.changed) == (1, 1)
    assert right(images, features) == 14
    assert (images.missing, images.changed) == (2, 1)
    assert images.warning() == (
        f"2 of 16 images not found in '{moved}'; in the place of 1 lies another image"
    )


def test_images_that_were_not_asked_for_are_not_missing(features, moved):
    shutil.rmtree(moved / "red")
    images = Images.of(features, moved)
    assert images.read(features.ids.index("blue/000.png")) and images.missing == 0


def test_no_more_is_hashed_than_is_cheap(features, moved, monkeypatch):
    """Strays come first: the renamed image is found, the rest of a large folder is not read for it."""
    (moved / "blue" / "001.png").rename(moved / "blue" / "zzz.png")
    monkeypatch.setattr(classify.features.images, "_MOST_HASHED", 1)
    read = []
    whole = open_source(moved)

    class Counting(Source):
        class_names, rows, warnings = whole.class_names, whole.rows, ()

        def describe(self):
            return {"kind": "counting"}

        def read(self, rows):
            for row in rows:
                read.append(row.id)
                yield from whole.read([row])

    images = Images.of(features, Counting())
    assert images.read(features.ids.index("blue/001.png"))
    assert len(read) <= 3 and set(read) == {"blue/zzz.png"}


def test_where_they_are_gone_everything_else_works(made, tmp_path, tiny_recipe):
    folder = draw_images(tmp_path / "images", each=8, first=50)
    extract(folder, tiny_recipe, tmp_path / "file.h5")
    shutil.rmtree(folder)
    images = Images.of(tmp_path / "file.h5")
    assert images.source is None and list(images.each([2, 1])) == [(2, None), (1, None)]
    assert str(folder) in images.warning() and "--source" in images.warning()


def test_rows_that_no_file_holds_have_no_images():
    images = Images.of(drawn_features(10))
    assert images.read(3) is None and images.missing == 1


def test_a_named_source_that_is_none(features, tmp_path):
    refused(lambda: Images.of(features, tmp_path / "nowhere"), "nowhere")


def test_threads_may_read_at_once(features, moved):
    (moved / "blue" / "001.png").rename(moved / "blue" / "zzz.png")
    images, found = Images.of(features, moved), []
    threads = [threading.Thread(target=lambda: found.append(right(images, features))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [16] * 8
