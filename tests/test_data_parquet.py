"""Parquet files: images as Hugging Face's datasets writes them, in shards, and tables of paths."""

import hashlib
import json
import os
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest.mock import Mock

import pytest
from conftest import assert_four_parts
from image_files import labels_by_id, png, refusal, save
from servers import web

from data import open_source
from data.parquet import file as parquet_file
from data.parquet.source import ParquetSource
from data.sources.source import source_kind
from data.testing.source import SourceContract
from extract.run.scan import scan_source

pyarrow = pytest.importorskip("pyarrow", reason="needs the extra parquet")
parquet = pytest.importorskip("pyarrow.parquet")
STRUCT = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
NAMES = ["cat", "dog"]
FEATURES = {"image": {"_type": "Image"}, "label": {"names": NAMES, "_type": "ClassLabel"}}


def write(path: Path, count: int = 12, first: int = 0, row_group: int = 5, **columns) -> Path:
    """Write images as datasets does, with their labels and the names of classes."""
    images = [{"bytes": png(first + row), "path": f"{first + row}.png"} for row in range(count)]
    labels = [row % 2 for row in range(count)]
    table = pyarrow.table({"image": images, "label": labels} | columns)
    said = {b"huggingface": json.dumps({"info": {"features": FEATURES}}).encode()}
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(table.replace_schema_metadata(said), path, row_group_size=row_group)
    return path


class TestImages(SourceContract):
    @pytest.fixture
    def opened(self, tmp_path):
        return lambda: open_source(write(tmp_path / "images.parquet"))


class TestShards(SourceContract):
    @pytest.fixture
    def opened(self, tmp_path):
        for number in range(2):
            write(tmp_path / f"set/data/train-{number:05d}-of-00002.parquet", first=12 * number)
        write(tmp_path / "set/data/test-00000-of-00001.parquet", first=24)
        return lambda: open_source(tmp_path / "set")

    def test_splits_are_those_of_the_names_of_files(self, source):
        assert [row.split for row in source.rows] == ["test"] * 12 + ["train"] * 24


@pytest.mark.parametrize("kind", [STRUCT, pyarrow.binary()])
def test_of_several_columns_that_may_be_images_one_is_taken_by_its_name(kind, tmp_path):
    wrap = (lambda data: {"bytes": data, "path": None}) if kind == STRUCT else (lambda data: data)
    columns = {
        name: pyarrow.array([wrap(png(shade + row)) for row in range(4)], kind)
        for name, shade in (("annotation", 100), ("image", 0))
    }
    parquet.write_table(pyarrow.table({**columns, "label": [0, 1] * 2}), tmp_path / "x.parquet")
    source = open_source(tmp_path / "x.parquet")
    assert list(source.read(source.rows)) == [png(row) for row in range(4)]
    assert "images are those of 'image'; --path-column names another column: annotation" in source.warnings
    other = open_source(tmp_path / "x.parquet", path_column="annotation")
    assert next(other.read(other.rows)) == png(100)


def test_names_of_classes_are_taken(tmp_path):
    source = open_source(write(tmp_path / "images.parquet", label=[0, 1, None, -1, *[0] * 8]))
    assert source.class_names == ("cat", "dog")
    assert [row.label for row in source.rows][:4] == [0, 1, -1, -1]
    assert source.rows[0].id == "0.png"
    assert list(source.read(source.rows)) == [png(row) for row in range(12)]


def test_bytes_alone_and_columns_that_are_named(tmp_path):
    table = pyarrow.table({"data": [png(0), png(1)], "kind": ["b", "a"], "patient": ["p", "q"]})
    parquet.write_table(table, tmp_path / "x.parquet")
    source = open_source(tmp_path / "x.parquet", label_column="kind", group_column="patient")
    assert labels_by_id(source) == {"00000000": "b", "00000001": "a"}
    assert [row.group for row in source.rows] == ["p", "q"]
    plain = open_source(tmp_path / "x.parquet")
    assert {row.label for row in plain.rows} == {-1} and "2 images without a label" in plain.warnings[0]


def test_an_image_that_the_table_does_not_hold_is_one_that_cannot_be_read(tmp_path):
    images = [{"bytes": None, "path": "/gone.png"}, {"bytes": png(1), "path": "1.png"}]
    source = open_source(write(tmp_path / "x.parquet", 2, image=images))
    first, second = source.read(source.rows)
    assert isinstance(first, OSError) and second == png(1)


def test_a_table_lists_paths(tmp_path):
    save(tmp_path, "1.png", "b/2.png")
    table = pyarrow.table({"File": ["1.png", "b/2.png"], "label": [3, None], "note": ["", ""]})
    parquet.write_table(table, tmp_path / "list.parquet")
    source = open_source(tmp_path / "list.parquet", path_column="file")
    assert labels_by_id(source) == {"1.png": "3", "b/2.png": None}
    assert list(source.read(source.rows)) == [png(0), png(1)]
    assert open_source(**source.address()).rows == source.rows


def test_a_second_run_reads_no_image(tmp_path, cache, monkeypatch):
    path = write(tmp_path / "set/train-00000-of-00002.parquet", row_group=5)
    other = write(tmp_path / "set/train-00001-of-00002.parquet", first=12)
    for file in (path, other):
        os.utime(file, (1e9, 1e9))  # at rest: a file of a moment ago is read again
    known = scan_source(open_source(tmp_path / "set")).digests
    assert known == [hashlib.sha256(png(number)).digest() for number in range(24)]
    monkeypatch.setattr(ParquetSource, "read", lambda self, rows: iter([b"read" for _ in rows]))
    assert scan_source(open_source(tmp_path / "set")).digests == known
    os.utime(other, (1e9, 1.1e9))
    digests = scan_source(open_source(tmp_path / "set")).digests
    assert digests[:12] == known[:12] and set(digests[12:]) == {hashlib.sha256(b"read").digest()}


def test_rows_without_different_paths_are_numbered_in_their_file(tmp_path):
    """So a file that is added moves no other's numbers."""
    for name in ("b", "c"):
        write(tmp_path / f"set/data/{name}.parquet", 3)
    ids = [row.id for row in open_source(tmp_path / "set").rows]
    assert ids[:3] == ["data/b.parquet/00000000", "data/b.parquet/00000001", "data/b.parquet/00000002"]
    write(tmp_path / "set/a.parquet", 2)
    assert [row.id for row in open_source(tmp_path / "set").rows][2:] == ids


def test_images_asked_for_one_by_one_are_read_in_one_pass(tmp_path, monkeypatch):
    source = open_source(write(tmp_path / "x.parquet", 100, row_group=50))
    reader, started = parquet.ParquetFile.iter_batches, []

    def counting(self, *given, row_groups, **how):
        started.append(row_groups)
        return reader(self, *given, row_groups=row_groups, **how)

    monkeypatch.setattr(parquet.ParquetFile, "iter_batches", counting)
    monkeypatch.setattr("data.parquet.file.opened", Mock(side_effect=parquet_file.opened))
    assert [next(iter(source.read([row]))) for row in source.rows] == [png(row) for row in range(100)]
    assert started == [[0], [1]] and parquet_file.opened.call_count == 1


def test_threads_may_read_one_source(tmp_path):
    source = open_source(write(tmp_path / "x.parquet", 100, row_group=9))
    orders = [random.Random(seed).sample(range(100), 100) for seed in range(8)]
    with ThreadPoolExecutor(4) as pool:
        found = pool.map(lambda order: list(source.read([source.rows[row] for row in order])), orders)
    assert list(found) == [[png(row) for row in order] for order in orders]


def test_few_files_are_open_at_once(tmp_path):
    for number in range(20):
        write(tmp_path / f"set/{number:02d}.parquet", 2, first=2 * number)
    source = open_source(tmp_path / "set")
    assert list(source.read(source.rows)) == [png(row) for row in range(40)]
    assert len(source._images._at_rest) == 16


@pytest.mark.parametrize("order", [1, -1])
def test_a_damaged_row_group_loses_no_other(order, tmp_path):
    path = write(tmp_path / "x.parquet", 12, row_group=4)
    source = open_source(path)
    column = parquet.ParquetFile(path).metadata.row_group(1).column(0)
    content = bytearray(path.read_bytes())
    start = column.dictionary_page_offset
    content[start : start + 40] = bytes(40)
    path.write_bytes(content)
    found = list(source.read(source.rows[::order]))[::order]
    assert [found[row] for row in (*range(4), *range(8, 12))] == [
        png(row) for row in (*range(4), *range(8, 12))
    ]
    assert all(isinstance(each, OSError) for each in found[4:8])
    write(path, 12, row_group=4)
    assert list(source.read(source.rows[4:8])) == [png(row) for row in range(4, 8)]


@pytest.mark.parametrize(
    ("columns", "how", "told"),
    [
        ({"x": [1]}, {}, "no column of images, and none of paths"),
        ({"path": ["1.png"], "kind": ["a"]}, {}, "--label-column"),
        ({"image": [b"1"]}, {"label_column": "kind"}, "'kind'"),
        ({"image": [b"1"]}, {"split_column": "kind"}, "'kind'"),
        ({"image": [b"1"]}, {"group_column": "kind"}, "'kind'"),
        ({"image": [b"1"]}, {"root": "."}, "--root has no meaning"),
        ({"image": [None, None]}, {}, "no column of images"),
        ({"image": pyarrow.array([None, None], pyarrow.binary())}, {}, "holds no image"),
        ({"image": [{"bytes": None, "path": "/a.png"}] * 2}, {}, "of paths alone"),
        ({"image": pyarrow.array([{"path": "/a.png"}] * 2, STRUCT)}, {}, "of paths alone"),
        ({"image": pyarrow.array([], pyarrow.binary())}, {}, "holds no rows"),
        ({"path": pyarrow.array([], pyarrow.string())}, {}, "lists no images"),
        ({"url": ["https://x.org/1.png"]}, {}, "no column of images, and none of paths"),
        ({"path": [None, "1.png"]}, {}, "names no image"),
    ],
)
def test_refusals(columns, how, told, tmp_path):
    parquet.write_table(pyarrow.table(columns), tmp_path / "x.parquet")
    assert told in refusal(tmp_path / "x.parquet", **how)


def test_a_table_may_list_addresses(images, tmp_path):
    pytest.importorskip("aiohttp", reason="needs the extra stores")
    with web(images) as address:
        table = pyarrow.table(
            {"url": [f"{address}/red/000.png", f"{address}/blue/000.png"], "text": ["a", "b"]}
        )
        parquet.write_table(table, tmp_path / "x.parquet")
        source = open_source(tmp_path / "x.parquet", path_column="url", label_column="text")
        found = list(source.read(source.rows))
    assert found == [(images / f"{name}/000.png").read_bytes() for name in ("red", "blue")]


def test_a_file_of_another_table_beside_is_one_message(tmp_path):
    write(tmp_path / "set/a.parquet")
    parquet.write_table(pyarrow.table({"x": [1]}), tmp_path / "set/b.parquet")
    assert "holds no column of images 'image', as other files do" in refusal(tmp_path / "set")


def test_files_with_other_classes_are_refused(tmp_path):
    write(tmp_path / "set/a.parquet")
    path = write(tmp_path / "set/b.parquet", first=20)
    said = json.dumps({"info": {"features": FEATURES | {"label": {"names": ["dog"], "_type": "ClassLabel"}}}})
    table = parquet.read_table(path).replace_schema_metadata({b"huggingface": said.encode()})
    parquet.write_table(table, path)
    assert "disagree about the classes of 'label'" in refusal(tmp_path / "set")


def test_the_column_that_datasets_calls_one_of_images_is_taken(tmp_path):
    path = write(tmp_path / "x.parquet", 2)
    table = parquet.read_table(path).add_column(0, "thumbnail", pyarrow.array([b"1", b"2"]))
    parquet.write_table(table, path)
    assert open_source(path).column == "image"


def test_a_label_without_a_name_is_told(tmp_path):
    source = open_source(write(tmp_path / "x.parquet", label=[0, 1, 2, *[0] * 9]))
    assert source.rows[2].label == -1
    assert source.warnings == ("1 image without a label: the names of classes end before theirs",)


@pytest.mark.parametrize("content", [lambda whole: whole[:-9], lambda whole: b"", lambda whole: b"PAR1 no"])
def test_a_cut_file_is_one_message(content, tmp_path):
    path = write(tmp_path / "x.parquet")
    path.write_bytes(content(path.read_bytes()))
    assert "cannot be read as Parquet" in refusal(path)


def test_a_file_whose_labels_are_damaged_is_one_message(tmp_path):
    path = write(tmp_path / "x.parquet")
    group = parquet.ParquetFile(path).metadata.row_group(0)
    column = next(
        group.column(k) for k in range(group.num_columns) if group.column(k).path_in_schema == "label"
    )
    content = bytearray(path.read_bytes())
    start = column.dictionary_page_offset
    content[start : start + 20] = bytes(20)
    path.write_bytes(content)
    assert "cannot be read as Parquet" in refusal(path)


def test_without_pyarrow_the_extra_is_named(tmp_path, monkeypatch):
    path = write(tmp_path / "x.parquet")
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    told = refusal(path)
    assert_four_parts(told)
    assert "pip install '.[parquet]'" in told


def test_a_folder_of_images_with_a_table_beside_is_a_folder(tmp_path):
    write(tmp_path / "set/list.parquet")
    assert source_kind(str(tmp_path / "set")) == "parquet"
    save(tmp_path / "set", "1.png")
    assert source_kind(str(tmp_path / "set")) == "folder"


def test_a_folder_of_classes_with_a_table_beside_is_a_folder(tmp_path):
    write(tmp_path / "set/emb.parquet")
    save(tmp_path / "set", "cat/1.png", "dog/2.png")
    assert open_source(tmp_path / "set").class_names == ("cat", "dog")


def test_paths_of_a_table_begin_in_its_folder_also_where_the_folder_is_named(tmp_path):
    save(tmp_path / "other", "1.png")
    table = pyarrow.table({"path": ["../other/1.png"], "label": ["a"]})
    (tmp_path / "set").mkdir()
    parquet.write_table(table, tmp_path / "set/list.parquet")
    source = open_source(tmp_path / "set")
    assert list(source.read(source.rows)) == [png(0)]


def test_a_missing_shard_is_told(tmp_path):
    path = write(tmp_path / "set/train-00000-of-00002.parquet")
    told = "1 file missing, by the names of others: train-00001-of-00002.parquet"
    assert told in open_source(path).warnings and told in open_source(tmp_path / "set").warnings


def test_columns_that_may_be_labels_or_images_are_named(tmp_path):
    path = write(tmp_path / "x.parquet", 2)
    kinds = {
        "fine": {"names": NAMES, "_type": "ClassLabel"},
        "coarse": {"names": NAMES, "_type": "ClassLabel"},
    }
    tags = {"_type": "Sequence", "feature": {"names": NAMES, "_type": "ClassLabel"}}
    features = {"image": {"_type": "Image"}, "mask": {"_type": "Image"}, "tags": tags, **kinds}
    table = parquet.read_table(path).drop_columns(["label"])
    said = {b"huggingface": json.dumps({"info": {"features": features}}).encode()}
    table = table.append_column("fine", [[0, 1]]).append_column("coarse", [[0, 1]])
    parquet.write_table(table.replace_schema_metadata(said), path)
    told = " ".join(open_source(path).warnings)
    assert "fine, coarse; name one: --label-column" in told and "not read: tags" in told
    assert "--path-column names another column: mask" in told
    assert open_source(path, label_column="fine").class_names == ("cat", "dog")


@pytest.mark.parametrize(
    ("name", "told"),
    [("plain_text/train-00000-of-00001.parquet", "plain_text"), ("data-00000-of-00001.arrow", "to_parquet")],
)
def test_packed_images_that_a_folder_hides_are_named(name, told, tmp_path):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).touch()
    assert told in refusal(tmp_path).rpartition("\n")[2]
