"""Rows of two kinds of int8 never stand in one file, and files of both are told apart."""

import json
import shutil

import h5py
import pytest
from conftest import assert_four_parts, draw_images

from data import HeadstartError, open_source
from extract import Options, extract
from extract.commands.file import diff_lines
from extract.feature_file.diff import diff
from extract.recipe import Recipe
from extract.run.forecast import preview


def made_by(file, path, arithmetic: str):
    """Copy a feature file as if its rows had been computed in this arithmetic."""
    shutil.copyfile(file, path)
    with h5py.File(path, "r+") as opened:
        engines = [{**each, "arithmetic": arithmetic} for each in json.loads(opened.attrs["engines"])]
        opened.attrs["engines"] = json.dumps(engines)
    return path


@pytest.fixture
def files(small_file, tmp_path):
    return [made_by(small_file, tmp_path / f"{name}.h5", f"int8, {name}") for name in ("new", "old")]


@pytest.fixture
def images(tmp_path):
    return open_source(draw_images(tmp_path / "images", each=20))


@pytest.mark.parametrize("do", [extract, preview])
@pytest.mark.parametrize("present", [False, True])
def test_files_of_two_arithmetics_are_refused_where_nothing_is_computed(
    do, present, files, images, small_recipe: Recipe, tmp_path
):
    path = tmp_path / "out.h5"
    if present:
        shutil.copyfile(files[0], path)
    before = path.read_bytes() if present else None
    with pytest.raises(HeadstartError, match="computes int8 by another arithmetic") as caught:
        do(images, small_recipe, path, Options(reuse=tuple(files), allow_drop=True))
    assert_four_parts(str(caught.value))
    assert (path.read_bytes() if path.exists() else None) == before
    assert caught.value.expected == "int8, new" and caught.value.received == "int8, old"


def test_files_of_one_arithmetic_serve_each_other(files, images, small_recipe, tmp_path):
    report = extract(images, small_recipe, tmp_path / "out.h5", Options(reuse=(files[1], files[1])))
    assert report.computed == 0 and report.reused == report.rows > 0


def test_diff_shows_both_arithmetics(files, small_file):
    assert diff(*files).arithmetic == [["int8, new"], ["int8, old"]]
    assert diff(files[0], files[0]).arithmetic == diff(files[0], small_file).arithmetic == []
    said = diff_lines(diff(*files).to_dict())
    assert said == ["engine  arithmetic: int8, new | int8, old"]
