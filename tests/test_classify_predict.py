"""New images: one prediction for each, whatever they are given as, and an engine that stays open."""

import io
import multiprocessing
import os
import shutil
import tarfile
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import assert_four_parts
from PIL import Image

from classify import Bundle
from classify.features import matrix
from data import HeadstartError
from data.errors import NotFoundError, UsageError


@pytest.fixture
def bundle(tiny_bundle):
    return Bundle.load(tiny_bundle)


@pytest.fixture
def paths(tiny_bundle):
    return sorted((tiny_bundle.parent / "images").rglob("*.png"))[58:62]


@pytest.fixture
def opened(monkeypatch):
    """Count the engines that are opened."""
    names, really = [], matrix.open_engine

    def counting(name, recipe, **how):
        names.append(name)
        return really(name, recipe, **how)

    monkeypatch.setattr(matrix, "open_engine", counting)
    return names


def close(one, other):
    assert [each.label for each in one] == [each.label for each in other]
    for mine, theirs in zip(one, other, strict=True):
        assert mine.probability == pytest.approx(theirs.probability, abs=1e-4)


def test_one_prediction_for_each_path_in_order(bundle, paths, tmp_path):
    a, b = paths[0], paths[3]
    for number, path in enumerate(paths[1:3]):
        (tmp_path / "folder").mkdir(exist_ok=True)
        shutil.copy(path, tmp_path / "folder" / f"{number}.png")
    found = bundle.predict([a, tmp_path / "folder", b, a])
    inside = [tmp_path / "folder" / name for name in ("0.png", "1.png")]
    assert [each.file for each in found] == list(map(str, [a, *inside, b, a]))
    assert [each.label for each in found] == ["blue", "blue", "red", "red", "blue"]
    assert found[0] == found[-1]
    assert len(bundle.predict([a, a.parent])) == 61


def archived(folder, files):
    """Write a zip and a tar file with the same files."""
    with zipfile.ZipFile(folder / "new.zip", "w") as zipped, tarfile.open(folder / "new.tar", "w") as tarred:
        for name, data in files.items():
            zipped.writestr(name, data)
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tarred.addfile(member, io.BytesIO(data))
    return folder / "new.zip", folder / "new.tar"


def test_images_in_archives_whatever_their_folders(bundle, paths, tmp_path):
    """Folders named as splits, and images beside them, are no reason to leave one out."""
    names = ["train/a.png", "test1/b.png", "c.png", "one/two/d.png"]
    files = dict(zip(names, (path.read_bytes() for path in paths), strict=True))
    expected = dict(zip(names, bundle.predict(paths), strict=True))
    for archive in archived(tmp_path, files | {"broken.png": b"no image", "readme.txt": b"x"}):
        first, *found = bundle.predict([paths[0], archive])
        assert first.file == str(paths[0])
        by_name = {each.file.removeprefix(f"{archive}/"): each for each in found}
        assert by_name.keys() == {*names, "broken.png"}
        assert "not an image" in by_name.pop("broken.png").error
        close([by_name[name] for name in names], [expected[name] for name in names])


def test_images_in_a_parquet_file(bundle, paths, tmp_path):
    pyarrow, parquet = (pytest.importorskip(name) for name in ("pyarrow", "pyarrow.parquet"))
    images = [{"bytes": path.read_bytes(), "path": path.name} for path in paths]
    parquet.write_table(pyarrow.table({"image": images}), tmp_path / "new.parquet", row_group_size=2)
    close(bundle.predict(tmp_path / "new.parquet"), bundle.predict(paths))


def test_images_in_an_npz_file(bundle, paths, tmp_path):
    images = np.stack([np.asarray(Image.open(path).resize((24, 24))) for path in paths])
    np.savez(tmp_path / "new.npz", images=images)
    found = bundle.predict(tmp_path / "new.npz")
    assert [each.file for each in found] == [f"{tmp_path / 'new.npz'}/{number:08d}" for number in range(4)]
    close(found, bundle.predict(images))


def test_what_an_archive_leaves_out_is_told_without_options_of_run(bundle, paths, tmp_path, caplog):
    photo = paths[0].read_bytes()
    _, sample = archived(tmp_path, {"1.png": photo, "1.seg.png": photo, "1.cls": b"0"})
    assert len(bundle.predict(sample)) == 1
    assert "warning: 1 image beside another one of the sample, as 1.seg.png, left out" in caplog.messages


def test_names_of_several_archives_are_paths(bundle, paths, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shards").mkdir()
    for number in range(2):
        _, made = archived(tmp_path, {"a.png": paths[number].read_bytes()})
        made.rename(tmp_path / f"shards/new-{number:02d}.tar")
    expected = [f"shards/new-{number:02d}.tar/a.png" for number in range(2)]
    for given in ("shards/new-{00..01}.tar", "shards"):
        assert [each.file for each in bundle.predict(given)] == expected


def test_what_cannot_be_opened_does_not_keep_others_from_being_classified(bundle, paths, tmp_path):
    (tmp_path / "cut.zip").write_bytes(b"PK\3\4 cut")
    (tmp_path / "list.csv").write_text("path,label\na.png,cat\n")
    cut, table, image = bundle.predict([tmp_path / "cut.zip", tmp_path / "list.csv", paths[0]])
    assert "cannot be read as an archive" in cut.error and cut.file == str(tmp_path / "cut.zip")
    assert "--list" in table.error and image.label == "blue"
    with pytest.raises(HeadstartError, match="cannot be read as an archive"):
        bundle.predict(tmp_path / "cut.zip")


def test_no_option_is_advised_that_predict_lacks(bundle, tmp_path):
    pyarrow, parquet = (pytest.importorskip(name) for name in ("pyarrow", "pyarrow.parquet"))
    parquet.write_table(pyarrow.table({"place": ["a.png"]}), tmp_path / "table.parquet")
    with pytest.raises(HeadstartError) as caught:
        bundle.predict(tmp_path / "table.parquet")
    assert "extract it, and classify the feature file; there, " in caught.value.todo
    assert f"python -m extract run {tmp_path}/table.parquet" in caught.value.todo


def test_an_archive_without_images_is_told(bundle, tmp_path):
    archive, _ = archived(tmp_path, {"a.txt": b"x"})
    with pytest.raises(HeadstartError, match="no images were found") as caught:
        bundle.predict(archive)
    assert_four_parts(str(caught.value))


@pytest.mark.parametrize("form", [str, Path])
def test_one_path_is_one_path(bundle, paths, form):
    (found,) = bundle.predict(form(paths[3]))
    assert (found.file, found.label) == (str(paths[3]), "red")
    with pytest.raises(HeadstartError, match=r"no image '/none\.png'"):
        bundle.predict(form("/none.png"))


def test_a_missing_path_does_not_keep_the_others_from_being_classified(bundle, paths, tmp_path):
    expected = bundle.predict([paths[0], paths[3]])
    found = bundle.predict([paths[0], tmp_path / "nope.png", paths[3]])
    assert found[1].label is None and "No such file" in found[1].error
    close([found[0], found[2]], expected)


def test_a_pipe_or_a_device_is_not_waited_for(bundle, paths, tmp_path):
    os.mkfifo(tmp_path / "f.jpg")
    found = bundle.predict([tmp_path / "f.jpg", Path("/dev/zero"), paths[3]])
    assert [each.error for each in found] == ["cannot be read: a pipe or a device"] * 2 + [""]
    assert found[2].label == "red"


FORMS = {
    "bytes": Path.read_bytes,
    "array": lambda path: np.asarray(Image.open(path)),
    "floats": lambda path: np.asarray(Image.open(path), np.float32),
    "RGBA": lambda path: np.asarray(Image.open(path).convert("RGBA")),
    "image": Image.open,
}


@pytest.mark.parametrize("form", FORMS)
def test_images_without_a_path(bundle, paths, form):
    kind = form if form in ("bytes", "image") else "array"
    given, expected = [FORMS[form](path) for path in paths], bundle.predict(paths)
    found = bundle.predict(given)
    close(found, expected)
    assert [each.file for each in found] == [f"{kind} {number}" for number in range(4)]
    close(bundle.predict(given[3]), expected[3:])
    mixed = bundle.predict([given[0], paths[1], given[2]])
    close(mixed, expected[:3])
    assert [each.file for each in mixed] == [f"{kind} 0", str(paths[1]), f"{kind} 2"]


def test_arrays_of_images(bundle, paths):
    pixels = np.stack([np.asarray(Image.open(path).resize((24, 24))) for path in paths])
    close(bundle.predict(pixels), bundle.predict(list(pixels)))
    grey = pixels.mean(axis=-1).astype(np.uint8)
    assert len(bundle.predict(grey)) == 4
    close(bundle.predict(grey[0]), bundle.predict([np.repeat(grey[0][..., np.newaxis], 3, axis=2)]))


def test_what_is_no_image_has_its_reason(bundle, paths):
    found = bundle.predict([b"no image", paths[0], np.full((8, 8, 3), 300), Image.new("F", (8, 8))])
    assert [bool(each.error) for each in found] == [True, False, True, True]
    assert "not an image" in found[0].error and "0..255" in found[2].error and "range" in found[3].error
    assert [each.file for each in found[::2]] == ["bytes 0", "array 2"]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (np.ones((2, 8, 8, 3), bool), "give array.astype('uint8') * 255"),
        ([np.zeros((8, 8), np.uint8), np.ones((8, 8), bool)], "give array.astype('uint8') * 255"),
        (np.linspace(-1, 1, 384).reshape(2, 8, 8, 3), "give (array + 1) * 127.5"),
        (np.linspace(0, 1, 384).reshape(2, 8, 8, 3), "multiply by 255"),
    ],
)
def test_values_of_another_scale_are_refused_with_the_way_back(bundle, given, words):
    with pytest.raises(HeadstartError) as caught:
        bundle.predict(given)
    assert caught.value.todo == words


def test_a_file_of_one_array_is_of_pixels(bundle, tmp_path):
    pixels = np.full((8, 8, 3), 200, np.uint8)
    for name, array in {"good": pixels, "scaled": pixels / 255, "bools": pixels > 9}.items():
        np.save(tmp_path / f"{name}.npy", array)
    found = bundle.predict([tmp_path / f"{name}.npy" for name in ("good", "scaled", "bools")])
    assert [each.label for each in found] == [bundle.predict([pixels])[0].label, None, None]
    assert "multiply by 255" in found[1].error and "astype('uint8') * 255" in found[2].error


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (lambda X: X[0], "no rows of features"),
        (lambda X: X.astype(str), "no rows of features"),
        (lambda X: np.where(np.arange(len(X))[:, None] == 1, np.nan, X), "1 such row in these features: 1"),
        (lambda X: X[:, :-1], "different number of features"),
    ],
)
def test_rows_that_are_no_features_are_refused(bundle, rows, words):
    X = np.ones((3, bundle.head.n_features_in_))
    assert np.array_equal(bundle.predict_proba(X.tolist()), bundle.predict_proba(X))
    with pytest.raises(HeadstartError) as caught:
        bundle.predict_proba(rows(X))
    assert words in str(caught.value)


@pytest.mark.parametrize("given", [[], [5], None, [None], np.random.default_rng(0).random((2, 8, 8, 3))])
def test_what_is_not_taken(bundle, given, opened):
    with pytest.raises(HeadstartError) as caught:
        bundle.predict(given)
    assert_four_parts(str(caught.value))
    assert opened == []


def test_the_engine_is_opened_once(bundle, paths, opened):
    with bundle.predictor() as predict:
        assert len(opened) == 1
        found = [predict(path)[0] for path in paths]
        assert predict(paths, abstain=0.5)[0].unknown is not None
    assert len(opened) == 1
    close(found, bundle.predict(paths))
    assert len(opened) == 2


def test_engines_open_while_the_head_is_read(bundle, paths, opened, tmp_path):
    predict = bundle.save(tmp_path / "bundle").load_predictor(tmp_path / "bundle")
    found = [predict(path)[0] for path in paths]
    assert len(opened) == 1
    close(found, bundle.predict(paths))


def test_an_engine_that_cannot_open_is_told_when_it_is_used(bundle, paths, tmp_path, monkeypatch):
    predict = bundle.save(tmp_path / "bundle").load_predictor(tmp_path / "bundle")
    with pytest.raises(NotFoundError, match="no image"):
        predict(tmp_path / "missing.jpg")
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "empty"))
    other = replace(bundle, feature_sets=(replace(bundle.feature_sets[0], weights={"name": "gone.h5"}),))
    predict = other.save(tmp_path / "other").load_predictor(tmp_path / "other")
    with pytest.raises(HeadstartError, match="not in the cache"):
        predict(paths)


def test_threads_share_a_predictor(bundle, paths, opened):
    data = [path.read_bytes() for path in paths] * 6
    expected = bundle.predict(paths) * 6
    predict = bundle.predictor()
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda image: predict(image)[0], data))
    close(found, expected)
    assert len(opened) == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fork_opens_an_engine_of_its_own(bundle, paths):
    """Also where a thread of the parent was computing just then: the fork has its lock for ever."""
    fork = multiprocessing.get_context("fork")
    with bundle.predictor() as predict, predict._engines():
        answers = fork.SimpleQueue()
        child = fork.Process(target=lambda: answers.put(predict(paths[3])[0].label))
        child.start()
        child.join(60)
        if child.is_alive():
            child.kill()
    assert child.exitcode == 0
    assert answers.get() == "red"


def test_what_pillow_read_from_memory(bundle, paths):
    with Image.open(io.BytesIO(paths[3].read_bytes())) as image:
        (found,) = bundle.predict(image)
    assert (found.file, found.label) == ("image 0", "red")


def test_a_backbone_that_this_version_has_not(bundle, paths):
    """A user's bundle of a later version is no wrong value on the command line, which would exit with 2."""
    later = replace(
        bundle.feature_sets[0], recipe=replace(bundle.feature_sets[0].recipe, backbone="fancynet")
    )
    with pytest.raises(HeadstartError, match="no backbone 'fancynet'") as caught:
        replace(bundle, feature_sets=(later,)).predict(paths)
    assert not isinstance(caught.value, UsageError)
