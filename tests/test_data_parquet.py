"""Parquet files: images as Hugging Face's datasets writes them, in shards, and tables of paths."""

import json
from pathlib import Path

import pytest
from conftest import assert_four_parts
from contracts import SourceContract
from image_files import labels_by_id, png, refusal, save

from data import open_source
from data.sources.source import source_kind

pyarrow = pytest.importorskip("pyarrow", reason="needs the extra parquet")
parquet = pytest.importorskip("pyarrow.parquet")
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


@pytest.mark.parametrize(
    ("columns", "how", "told"),
    [
        ({"x": [1]}, {}, "no column of images, and none of paths"),
        ({"path": ["1.png"], "kind": ["a"]}, {}, "--label-column"),
        ({"image": [b"1"]}, {"label_column": "kind"}, "'kind'"),
        ({"image": [b"1"]}, {"root": "."}, "--root has no meaning"),
    ],
)
def test_refusals(columns, how, told, tmp_path):
    parquet.write_table(pyarrow.table(columns), tmp_path / "x.parquet")
    assert told in refusal(tmp_path / "x.parquet", **how)


def test_a_cut_file_is_one_message(tmp_path):
    path = write(tmp_path / "x.parquet")
    path.write_bytes(path.read_bytes()[:-9])
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
