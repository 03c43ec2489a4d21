"""Images as the input of scikit-learn: each is computed once, whatever folds and searches ask for."""

import logging
import os
import pickle
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import assert_four_parts, draw_images
from PIL import Image
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.utils import get_tags
from sklearn.utils.validation import check_is_fitted

import extract
from data import HeadstartError, open_source
from data.sources.arrays import npy_bytes
from extract import FeatureExtractor, FeatureFile, transformer
from extract.engines import pipeline
from extract.feature_file.part import PartFile
from extract.recipe import EngineInfo
from extract.row_cache import FolderRows


@pytest.fixture(autouse=True)
def forgotten(monkeypatch):
    """Begin without what other tests left in memory."""
    monkeypatch.setattr(transformer, "_memories", {})


@pytest.fixture
def paths(images):
    return sorted(images.rglob("*.png"))


@pytest.fixture
def labels(paths):
    return [path.parent.name for path in paths]


@pytest.fixture
def make(tiny_recipe, tmp_path):
    def make(recipe=tiny_recipe, cache=tmp_path / "kept", **params):
        return FeatureExtractor(recipe, cache, **params)

    return make


def parts(folder: Path, recipe) -> list[Path]:
    return sorted((folder / recipe.key).glob("*.h5"))


def same(one, other):
    np.testing.assert_allclose(one, other, atol=1e-5 * np.abs(other).max())


@pytest.mark.parametrize("form", ["str", "Path", "bytes", "Pillow", "object array", "str array", "tuple"])
def test_features_are_those_of_a_run_in_the_order_asked_for(make, images, paths, tiny_recipe, tmp_path, form):
    extract.extract(open_source(images), tiny_recipe, tmp_path / "run.h5")
    expected = FeatureFile(tmp_path / "run.h5").features("avg_pool")
    forms = {
        "str": lambda: [str(path) for path in paths],
        "bytes": lambda: [path.read_bytes() for path in paths],
        "Pillow": lambda: [Image.open(path) for path in paths],
        "object array": lambda: np.array(paths, object),
        "str array": lambda: np.array([str(path) for path in paths]),
        "tuple": lambda: tuple(paths),
        "Path": lambda: paths,
    }
    X = forms[form]()
    found = make().fit(X).transform(X)
    assert (found.dtype, found.shape) == (np.float32, (16, 1024))
    same(found, expected)
    backwards = X[::-1]
    np.testing.assert_array_equal(make().transform(backwards), found[::-1])


@pytest.mark.parametrize("shape", [(5, 20, 24, 3), (5, 20, 24), (5, 20, 24, 1)])
def test_arrays_are_images_as_their_npy_files_are(make, seen, shape):
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    found = make().transform(pixels)
    np.testing.assert_array_equal(make().transform(list(pixels)), found)
    np.testing.assert_array_equal(make().transform([npy_bytes(image) for image in pixels]), found)
    np.testing.assert_array_equal(make().transform(np.asfortranarray(pixels)[::-1]), found[::-1])
    assert sum(seen) == 5
    assert len(np.unique(found, axis=0)) == 5


def test_equal_images_are_computed_once(make, paths, seen):
    found = make().transform([paths[0], paths[1], paths[0].read_bytes(), str(paths[1]), paths[0]])
    assert sum(seen) == 2
    np.testing.assert_array_equal(found[[2, 3, 4]], found[[0, 1, 0]])


def test_layers_stand_side_by_side_in_the_recipes_order(make, paths, tiny_recipe, tmp_path):
    both = replace(tiny_recipe, layers=("conv1_relu", "avg_pool"))
    extractor, alone = make(both), make()
    found = extractor.transform(paths)
    assert found.shape == (16, 32 + 1024)
    same(found[:, 32:], alone.transform(paths))
    names = extractor.get_feature_names_out()
    assert names[[0, 31, 32, -1]].tolist() == ["conv1_relu_0", "conv1_relu_31", "avg_pool_0", "avg_pool_1023"]
    assert len(names) == found.shape[1]
    assert len(parts(tmp_path / "kept", both)) == len(parts(tmp_path / "kept", tiny_recipe)) == 1


@pytest.mark.parametrize("kept", [True, False], ids=["folder", "memory"])
def test_folds_and_searches_compute_each_image_once(make, paths, labels, tmp_path, seen, kept):
    model = make_pipeline(make(cache=tmp_path / "kept" if kept else None), LogisticRegression())
    scores = cross_val_score(model, paths, labels, cv=4, error_score="raise")
    assert sum(seen) == 16
    assert scores.shape == (4,)
    search = GridSearchCV(model, {"logisticregression__C": [0.1, 1.0]}, cv=2, error_score="raise")
    search.fit(paths, labels)
    assert search.predict(paths).tolist() == labels
    assert sum(seen) == 16


def test_processes_share_a_folder(make, paths, labels, tiny_recipe, tmp_path, seen):
    """No image is in two parts: each was computed by one of the processes only."""
    model = make_pipeline(make(), LogisticRegression())
    scores = cross_val_score(model, paths, labels, cv=4, n_jobs=2, error_score="raise")
    found = [PartFile(path) for path in parts(tmp_path / "kept", tiny_recipe)]
    digests = [digest.tobytes() for part in found for digest in part.digests]
    assert len(digests) == len(set(digests)) == 16
    np.testing.assert_array_equal(cross_val_score(model, paths, labels, cv=4), scores)
    assert seen == []
    names = [path.name for path in (tmp_path / "kept").rglob("*") if path.is_file()]
    assert all(name.endswith(".h5") for name in names)


def test_a_folder_outlives_the_extractor_and_reads_images_only_to_hash_them(make, paths, monkeypatch):
    found = make().transform(paths)
    monkeypatch.setattr(transformer, "open_engine", None)
    monkeypatch.setattr(transformer, "_engines", {})
    np.testing.assert_array_equal(make().transform(paths), found)


def test_an_image_that_changes_is_computed(make, paths, seen):
    before = make().transform(paths)
    paths[3].write_bytes(paths[4].read_bytes())
    draw_images(paths[0].parent.parent, classes=("blue",), each=1, first=90)
    after = make().transform([*paths, paths[0].parent / "090.png"])
    assert sum(seen) == 17
    np.testing.assert_array_equal(after[3], before[4])
    np.testing.assert_array_equal(np.delete(after, [3, 16], axis=0), np.delete(before, 3, axis=0))


def test_recipes_have_rows_of_their_own(make, paths, tiny_recipe, seen):
    other = replace(tiny_recipe, image_size=(48, 48))
    for cache in (None, "kept"):
        cache = cache and paths[0].parent.parent / cache
        one, two = make(cache=cache).transform(paths), make(other, cache=cache).transform(paths)
        assert np.abs(one - two).max() > 1e-3
    assert sum(seen) == 4 * 16


def test_clones_share_the_memory_of_the_process(make, paths, seen):
    extractor = make(cache=None)
    found = extractor.transform(paths)
    np.testing.assert_array_equal(clone(extractor).transform(paths), found)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(extractor)).transform(paths), found)
    assert sum(seen) == 16


def _cut(path):
    path.write_bytes(path.read_bytes()[:-2000])


def _flip(path):
    """Change one feature where it lies."""
    offset = PartFile(path)._places["avg_pool"][2]
    with open(path, "r+b") as file:
        file.seek(offset + 5 * 1024 * 4 + 41)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 1]))


def _text(path):
    path.write_text("my diary")


def _empty(path):
    path.write_bytes(b"")


@pytest.mark.parametrize(("damage", "again"), [(_cut, 16), (_text, 16), (_empty, 16), (_flip, 1)])
def test_damaged_parts_are_passed_over_with_a_warning(
    make, paths, tiny_recipe, tmp_path, caplog, seen, damage, again
):
    found = make().transform(paths)
    (part,) = parts(tmp_path / "kept", tiny_recipe)
    damage(part)
    seen.clear()
    with caplog.at_level(logging.WARNING):
        same(make().transform(paths), found)
    assert sum(seen) == again
    assert "damaged" in caplog.text
    assert part.name in caplog.text
    seen.clear()
    same(make().transform(paths), found)
    assert seen == []


def test_a_part_of_another_recipe_in_the_folder_is_passed_over(make, paths, tiny_recipe, tmp_path, caplog):
    other = replace(tiny_recipe, image_size=(48, 48))
    make(other).transform(paths)
    (tmp_path / "kept" / tiny_recipe.key).mkdir()
    (strange,) = parts(tmp_path / "kept", other)
    strange.rename(tmp_path / "kept" / tiny_recipe.key / "strange.h5")
    with caplog.at_level(logging.WARNING):
        found = make().transform(paths)
    assert "another recipe" in caplog.text
    same(found, make(cache=None).transform(paths))


def test_two_parts_may_hold_the_same_image(tiny_recipe, tmp_path):
    """As where two processes without a common lock compute it: one of the rows is taken."""
    rows, digests = FolderRows(tmp_path, tiny_recipe), [bytes([number]) * 32 for number in range(3)]
    feature = [np.arange(1024, dtype=np.float32)]
    with rows.locked():
        rows.keep(EngineInfo("any"), feature, {digests[0]: feature, digests[1]: feature})
        rows.keep(EngineInfo("any"), feature, {digests[1]: feature, digests[2]: feature})
    assert rows.find([*digests, bytes(32 * [9])]).keys() == set(digests)
    assert len(parts(tmp_path, tiny_recipe)) == 2


def test_half_written_files_are_cleared_when_nobody_can_be_writing_them(make, paths, tiny_recipe, tmp_path):
    folder = tmp_path / "kept" / tiny_recipe.key
    folder.mkdir(parents=True)
    for name, age in (("old", 90_000), ("new", 10)):
        (folder / f"{name}.h5.1.tmp").write_bytes(b"half")
        os.utime(folder / f"{name}.h5.1.tmp", (time.time() - age,) * 2)
    make().transform(paths)
    assert [path.name for path in folder.glob("*.tmp")] == ["new.h5.1.tmp"]


def test_images_that_cannot_be_decoded_are_named_and_harm_no_other(make, images, paths, seen):
    (images / "red" / "bad.jpg").write_text("<html>")
    X = [*paths[:4], images / "red" / "bad.jpg", *paths[4:], paths[0].read_bytes()[:60]]
    with pytest.raises(HeadstartError) as caught:
        make().transform(X)
    text = str(caught.value)
    assert_four_parts(text)
    assert "2 images of 18 cannot be read" in text
    assert f"image 4 ({images / 'red' / 'bad.jpg'}): not an image in any format" in text
    assert "image 17: " in text
    assert sum(seen) == 16
    seen.clear()
    make().transform(paths)
    assert seen == []


def test_many_broken_images_are_counted(make):
    with pytest.raises(HeadstartError, match=r"20 images of 20 .*\n.*\n.*image 4: .*; and 15 more"):
        make().transform([b"no image %d" % number for number in range(20)])


def test_files_that_cannot_be_read_end_it_before_anything_is_computed(make, paths, images, seen):
    with pytest.raises(HeadstartError) as caught:
        make().transform([*paths, images / "none.png", images])
    text = str(caught.value)
    assert_four_parts(text)
    assert f"image 16 ({images / 'none.png'}): cannot be read: No such file" in text
    assert "image 17" in text
    assert seen == []


@pytest.mark.parametrize("change", ["vanishes", "changes"])
def test_a_file_that_changes_meanwhile_gives_no_wrong_feature(make, paths, monkeypatch, change):
    opened = transformer._opened_engine

    def changing(*words):
        paths[2].unlink() if change == "vanishes" else paths[2].write_bytes(paths[3].read_bytes())
        return opened(*words)

    monkeypatch.setattr(transformer, "_opened_engine", changing)
    with pytest.raises(HeadstartError) as caught:
        make().transform(paths)
    told = "No such file" if change == "vanishes" else "changed while it was read"
    assert f"image 2 ({paths[2]}): " in str(caught.value)
    assert told in str(caught.value)


@pytest.mark.parametrize("kept", [True, False], ids=["folder", "memory"])
def test_rows_that_this_machine_computes_otherwise_are_not_mixed_in(
    make, paths, tiny_recipe, tmp_path, seen, kept
):
    extractor = make(cache=tmp_path / "kept" if kept else None)
    found = extractor.transform(paths[:8])
    seen.clear()
    rows = extractor._rows()
    rows.keep(
        EngineInfo("another"), [np.full(1024, 0.5, np.float32)], {bytes(32): [np.ones(1024, np.float32)]}
    )
    with pytest.raises(HeadstartError) as caught:
        extractor.transform(paths)
    assert_four_parts(str(caught.value))
    assert "other features than those in" in str(caught.value)
    assert "another cache folder" in str(caught.value)
    assert seen == []
    np.testing.assert_array_equal(extractor.transform(paths[:8]), found)


def test_a_long_computation_is_kept_in_parts(make, paths, tiny_recipe, tmp_path, monkeypatch, seen):
    monkeypatch.setattr(transformer, "PART_ROWS", 6)
    found = make().transform(paths)
    sizes = sorted(len(PartFile(path).digests) for path in parts(tmp_path / "kept", tiny_recipe))
    assert sizes == [8, 8]  # a batch is never torn apart
    np.testing.assert_array_equal(make().transform(paths), found)
    assert sum(seen) == 16


def test_a_computation_that_is_stopped_goes_on_from_its_last_image(make, paths, monkeypatch, seen):
    finished = pipeline._finished

    def stopping(keys, finish):
        if sum(seen) >= 8:
            raise KeyboardInterrupt
        return finished(keys, finish)

    with monkeypatch.context() as context:
        context.setattr(pipeline, "_finished", stopping)
        with pytest.raises(KeyboardInterrupt):
            make().transform(paths)
    assert sum(seen) == 8
    make().transform(paths)
    assert sum(seen) == 16


def test_a_folder_that_cannot_be_written(make, paths, tmp_path):
    (tmp_path / "taken").write_text("my diary")
    with pytest.raises(HeadstartError) as caught:
        make(cache=tmp_path / "taken").transform(paths)
    assert_four_parts(str(caught.value))
    assert (tmp_path / "taken").read_text() == "my diary"


def test_a_full_disk_is_told(make, paths, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("extract.row_cache.write_part", full)
    with pytest.raises(HeadstartError, match="could not be written") as caught:
        make().transform(paths)
    assert "No space left" in str(caught.value)


@pytest.mark.parametrize(
    "X",
    [
        [],
        np.empty((0, 8, 8)),
        5,
        [5],
        [None],
        {"a": 1},
        np.zeros((8, 8)),
        np.zeros((8, 8, 3)),
        np.zeros((2, 2, 8, 8, 3)),
        np.array([["a.png"], ["b.png"]]),
        np.array([b"a", b"b"]),
        np.random.default_rng(0).random((2, 8, 8, 3)),
        (number for number in range(3)),
    ],
    ids=lambda X: f"{type(X).__name__}{getattr(X, 'shape', '')}",
)
def test_what_is_no_sequence_of_images(make, X, tmp_path):
    with pytest.raises(HeadstartError) as caught:
        make().transform(X)
    assert_four_parts(str(caught.value))
    assert not (tmp_path / "kept").exists()


@pytest.mark.parametrize("form", [str, Path, Path.read_bytes, Image.open])
def test_one_image_is_a_sequence_of_one(make, paths, form):
    extractor = make(cache=None)
    same(extractor.transform(form(paths[3])), extractor.transform(paths)[3:4])


def test_one_path_is_never_its_letters(make, tmp_path):
    with pytest.raises(HeadstartError, match=r"1 image of 1 cannot be read") as caught:
        make().transform("/none/of/it.png")
    assert_four_parts(str(caught.value))


@pytest.mark.parametrize("mode", ["L", "1", "P", "RGBA", "LA", "CMYK"])
def test_an_image_of_pillow_is_as_its_file(make, paths, tmp_path, mode):
    image = Image.open(paths[0]).convert(mode)
    image.save(tmp_path / ("image.png" if mode != "CMYK" else "image.tiff"))
    (file,) = tmp_path.glob("image.*")
    same(make(cache=None).transform([image]), make(cache=None).transform([file]))


@pytest.mark.parametrize("turned", [True, False])
def test_an_image_of_pillow_is_turned_as_the_recipe_says(make, paths, tiny_recipe, tmp_path, turned):
    tag = Image.Exif()
    tag[0x0112] = 6
    Image.open(paths[0]).save(tmp_path / "turned.png", exif=tag)
    extractor = make(replace(tiny_recipe, exif_orientation=turned), cache=None)
    same(
        extractor.transform([Image.open(tmp_path / "turned.png")]),
        extractor.transform([tmp_path / "turned.png"]),
    )
    plain = extractor.transform([paths[0]])
    assert np.allclose(extractor.transform([tmp_path / "turned.png"]), plain) is not turned


def test_an_image_of_pillow_without_a_known_range_is_told(make, paths):
    with pytest.raises(HeadstartError, match=r"image 1: .*no known range"):
        make(cache=None).transform([Image.open(paths[0]), Image.new("F", (8, 8))])


def test_what_is_no_recipe(make, paths):
    with pytest.raises(HeadstartError) as caught:
        make("xception").transform(paths)
    assert_four_parts(str(caught.value))


def test_it_is_an_estimator_as_scikit_learn_wants_it(make, tiny_recipe, tmp_path):
    extractor = make(engine="openvino")
    params = {"recipe": tiny_recipe, "cache": tmp_path / "kept", "engine": "openvino"}
    assert extractor.get_params() == clone(extractor).get_params() == params
    assert extractor.fit([]) is extractor
    check_is_fitted(extractor)
    tags = get_tags(extractor)
    assert (tags.input_tags.two_d_array, tags.input_tags.string, tags.requires_fit) == (False, True, False)
    assert pickle.loads(pickle.dumps(extractor)).get_params() == params
    assert tiny_recipe.backbone in repr(extractor)


@pytest.mark.parametrize("engine", ["keras", "openvino"])
def test_the_engine_that_is_asked_for_computes(make, paths, tiny_recipe, tmp_path, engine):
    make(engine=engine).transform(paths[:2])
    (part,) = parts(tmp_path / "kept", tiny_recipe)
    assert PartFile(part).engine(0).engine == engine


def test_names_of_features_are_known_before_any_image_is(make, paths):
    names = make(cache=None).get_feature_names_out()
    assert names.shape == (1024,)
    assert names[7] == "avg_pool_7"
    assert make().get_feature_names_out(paths).tolist() == names.tolist()


_FORKS = """
import multiprocessing, sys, threading
import numpy as np
from joblib import Parallel, delayed
from extract import FeatureExtractor, Recipe
from extract import transformer

def features(extractor, seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (9, 32, 32, 3), dtype=np.uint8)
    try:
        return extractor.transform(pixels)
    except ValueError as error:
        return str(error)

recipe = Recipe.from_json(sys.argv[1])
extractor = FeatureExtractor(recipe, engine=sys.argv[2])
parents = features(extractor, 0)
held = threading.Thread(target=transformer._computing.acquire)  # as one that computes while another forks
held.start()
held.join()
with multiprocessing.get_context("fork").Pool(2) as pool:
    found = pool.starmap_async(features, [(extractor, seed) for seed in (0, 1, 2)]).get(60)
found += Parallel(n_jobs=2, backend="multiprocessing")(delayed(features)(extractor, seed) for seed in (1, 2))
transformer._computing.release()
expected = [parents, *(features(extractor, seed) for seed in (1, 2, 1, 2))]
pairs = zip(found, expected)
print(*(one if isinstance(one, str) else np.abs(one - two).max() for one, two in pairs), sep="\\n---\\n")
"""


@pytest.mark.parametrize("engine", ["openvino", "keras"])
def test_forks_answer(tiny_recipe, engine):
    """What the parent knows is known; OpenVINO opens anew, and TensorFlow, which cannot, is refused."""
    done = subprocess.run(
        [sys.executable, "-c", _FORKS, tiny_recipe.to_json(), engine],
        **{"capture_output": True, "text": True, "check": False, "timeout": 300},
    )
    assert done.returncode == 0, done.stderr
    known, *computed = done.stdout.split("\n---\n")
    assert float(known) == 0
    for found in computed:
        if engine == "openvino":
            assert float(found) < 1e-5
        else:
            assert_four_parts(found)
            assert "TensorFlow cannot be used after a fork" in found


def test_a_fork_refuses_an_engine_that_its_parent_opened(tiny_recipe, monkeypatch):
    from extract.engines.engine import open_engine

    engine = open_engine("openvino", tiny_recipe)
    engine.process = os.getppid()
    for use in (lambda: list(pipeline.compute_features(engine, tiny_recipe, [])), lambda: engine(None)):
        with pytest.raises(HeadstartError, match="after a fork") as caught:
            use()
        assert_four_parts(str(caught.value))
