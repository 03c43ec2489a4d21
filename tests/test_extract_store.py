"""The feature file: plain HDF5 that says what it is, byte-equal for equal content."""

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from conftest import assert_four_parts
from contracts import StoreContract

from data import HeadstartError
from data.output.atomic import written_aside
from data.split_rule import SplitRule
from extract import FeatureFile, Recipe
from extract.feature_file import reader as store
from extract.feature_file import writer
from extract.feature_file.content_digest import content_digest
from extract.feature_file.contents import Contents, Rejected
from extract.feature_file.hdf5 import row_checksums
from extract.feature_file.part import PartFile, write_part
from extract.feature_file.verify import examine
from extract.feature_file.writer import write_feature_file
from extract.recipe import EngineInfo

RECIPE = Recipe("mobilenet", weights="00" * 32, layers=("avg_pool", "conv1_relu"), image_size=(32, 32))
ENGINE = EngineInfo("keras", "3", "CPU")
NAMES = ("a.jpg", "b/é.jpg", "猫.png")


@pytest.fixture
def part(tmp_path):
    generator = np.random.default_rng(0)
    rows = {bytes([n]) * 32: [generator.normal(size=d).astype("f4") for d in (5, 3)] for n in range(3)}
    probe = [np.arange(5, dtype="f4"), np.arange(3, dtype="f4")]
    write_part(tmp_path / "part.h5", RECIPE, ENGINE, probe, rows, {b"\xff" * 32: "broken"})
    return PartFile(tmp_path / "part.h5")


@pytest.fixture
def contents(part):
    return Contents(
        recipe=RECIPE,
        source={"kind": "files"},
        weights={"name": "none", "origin": "random"},
        class_names=("cat", "dög"),
        engines=(ENGINE,),
        ids=NAMES,
        digests=part.digests,
        labels=np.array([0, 1, -1], np.int32),
        splits=np.array([0, 1, 2], np.int8),
        origins=np.zeros(3, np.uint8),
        groups=("one", "", "two"),
        rejected=(Rejected("bad.jpg", b"\xff" * 32, "broken"),),
    )


@pytest.fixture
def path(tmp_path, contents, part):
    write_feature_file(tmp_path / "file.h5", contents, [(part, row) for row in range(3)])
    return tmp_path / "file.h5"


class TestSingle(StoreContract):
    layout = "single"


class TestSharded(StoreContract):
    layout = "sharded"


def test_any_hdf5_reader_understands_it(path):
    with h5py.File(path) as file:
        assert file.attrs["format"] == "headstart"
        assert file.attrs["source_rows"] == 4 == len(file["ids"]) + len(file["rejected/id"])
        assert [name.decode() for name in file["ids"]] == list(NAMES)
        features = file["features/avg_pool"]
        assert (features.shape, features.dtype, features.chunks) == ((3, 5), np.float32, None)
        np.testing.assert_array_equal(
            file["checksums/avg_pool"], row_checksums(features[:], file["digests"][:])
        )
        assert file.attrs["content_digest"] == content_digest(file)


def test_large_data_sets_begin_on_pages(tiny_file):
    with h5py.File(tiny_file) as file:
        assert file["features/avg_pool"].id.get_offset() % 4096 == 0


def test_features_are_mapped_and_read_only(path):
    features = FeatureFile(path).features("avg_pool")
    assert isinstance(features, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        features[0, 0] = 1


def test_a_part_without_any_row_is_a_part(tmp_path):
    probe = [np.zeros(5, "f4"), np.zeros(3, "f4")]
    write_part(tmp_path / "empty.h5", RECIPE, ENGINE, probe, {}, {b"x" * 32: "broken"})
    empty = PartFile(tmp_path / "empty.h5")
    assert empty.features("avg_pool").shape == (0, 5)
    assert empty.rejected == {b"x" * 32: "broken"}


def test_written_aside_leaves_the_old_file_or_the_new_one(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(RuntimeError), written_aside(path) as aside:
        aside.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    with written_aside(path) as aside:
        aside.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


VERSION_1 = Path(__file__).parent / "files" / "version1.h5"  # as `path`, written by format version 1


def test_a_file_of_version_1_stays_readable(contents, part):
    file = FeatureFile(VERSION_1)
    assert file.contents.same_as(contents)
    np.testing.assert_array_equal(file.features("avg_pool"), part.features("avg_pool"))
    assert examine(VERSION_1).sound


def test_a_file_of_an_earlier_version_is_migrated(contents, part, tmp_path, monkeypatch):
    """By one function for each step between two versions."""

    def to_version_3(values):
        return {**values, "class_names": values["class_names"].replace("cat", "Felis")}

    for module in (store, writer):
        monkeypatch.setattr(module, "FORMAT_VERSION", 3)
    monkeypatch.setattr(store, "MIGRATIONS", {**store.MIGRATIONS, 2: to_version_3})
    migrated = FeatureFile(VERSION_1).contents
    assert migrated.same_as(replace(contents, class_names=("Felis", "dög")))
    migrated = replace(migrated, class_names=("cat", "dög"), split_rule=SplitRule("stratified"))
    write_feature_file(tmp_path / "two.h5", migrated, [(part, row) for row in range(3)])
    again = FeatureFile(tmp_path / "two.h5").contents
    assert again.same_as(migrated)  # and is not migrated twice


def test_a_file_says_how_rows_got_their_splits(contents, part, tmp_path):
    """A rule other than the hash, by which files of version 1 are, and splits of rows that were dropped."""
    dealt = replace(contents, split_rule=SplitRule("stratified", (0.7, 0.2, 0.1), 3))
    dealt = replace(dealt, rejected=(replace(dealt.rejected[0], split=2),))
    write_feature_file(tmp_path / "dealt.h5", dealt, [(part, row) for row in range(3)])
    assert FeatureFile(tmp_path / "dealt.h5").contents.same_as(dealt)
    assert examine(tmp_path / "dealt.h5").sound
    assert not dealt.same_as(contents)
    assert FeatureFile(VERSION_1).contents.split_rule == SplitRule("hash")
    with h5py.File(tmp_path / "dealt.h5", "r+") as file:
        file.attrs["split_rule"] = file.attrs["split_rule"].replace("stratified", "by luck")
    with pytest.raises(HeadstartError, match="no rule of splits 'by luck'"):
        FeatureFile(tmp_path / "dealt.h5")
    assert not examine(tmp_path / "dealt.h5").sound


def test_a_later_version_is_refused_with_both_versions(path):
    _later_version(path)
    with pytest.raises(HeadstartError, match=r"version 2 or earlier(.|\n)*version 3"):
        FeatureFile(path)


def _text(path):
    path.write_text("no HDF5")


def _empty(path):
    path.write_bytes(b"")


def _other_hdf5(path):
    with h5py.File(path, "w") as file:
        file["x"] = 1


def _later_version(path):
    with h5py.File(path, "r+") as file:
        file.attrs["format_version"] = 3


def _lacks_ids(path):
    with h5py.File(path, "r+") as file:
        del file["ids"]


def _truncated(path):
    path.write_bytes(path.read_bytes()[:-100])


def _folder(path):
    path.unlink()
    path.mkdir()


def _missing(path):
    path.unlink()


@pytest.mark.parametrize(
    "spoil", [_text, _empty, _other_hdf5, _later_version, _lacks_ids, _truncated, _folder, _missing]
)
def test_files_that_are_none(path, spoil):
    spoil(path)
    with pytest.raises(HeadstartError) as caught:
        FeatureFile(path)
    assert_four_parts(str(caught.value))
    assert str(path) in str(caught.value)
