"""One contract for every engine."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from conftest import assert_four_parts

from data import HeadstartError, open_source
from extract import FeatureFile, Options, Recipe, extract
from extract.cluster.replica import versions
from extract.engines import conversion as converted
from extract.engines.engine import (
    ENGINES,
    Engine,
    EngineEntry,
    chosen_engine,
    cpu_engine,
    engine_help,
    makers,
    open_engine,
    values_help,
)
from extract.engines.probe import probe_image, relative_difference
from extract.recipe import EngineInfo

each_engine = pytest.mark.parametrize("name", ENGINES)


@pytest.fixture(scope="module", params=ENGINES)
def engine(request, tiny_recipe):
    return open_engine(request.param, tiny_recipe)


@pytest.fixture(scope="module")
def pixels():
    return np.random.default_rng(0).uniform(0, 255, (9, 32, 32, 3)).astype(np.float32)


def test_shape_and_type(engine, pixels):
    (features,) = engine(pixels)
    assert (features.shape, features.dtype) == ((9, 1024), np.float32)
    assert np.isfinite(features).all()
    assert features.std(axis=0).max() > 0


def test_order_and_short_batches(engine, pixels):
    """A row's feature is its own, whatever stands beside it in the batch."""
    (whole,) = engine(pixels)
    (backwards,) = engine(pixels[::-1])
    apart = np.concatenate([engine(pixels[:4])[0], engine(pixels[4:8])[0], engine(pixels[8:])[0]])
    scale = np.abs(whole).max()
    np.testing.assert_allclose(backwards[::-1], whole, atol=1e-5 * scale)
    np.testing.assert_allclose(apart, whole, atol=1e-5 * scale)


def test_equals_the_guides_own_pipeline(engine, pixels, tiny_recipe):
    """Rescaling, the frozen base with training=False, global average pooling."""
    import keras

    from extract.backbones.weights import load_backbone

    base = load_backbone("mobilenet", (32, 32), tiny_recipe.weights)
    inputs = keras.Input((32, 32, 3))
    scaled = keras.layers.Rescaling(scale=1 / 127.5, offset=-1)(inputs)
    model = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(base(scaled, training=False)))
    expected = model.predict(pixels, verbose=0)
    np.testing.assert_allclose(engine(pixels)[0], expected, atol=1e-4 * max(1, np.abs(expected).max()))


def test_description_is_json(engine):
    described = engine.describe()
    assert described.engine in ENGINES and described.version and described.device
    assert EngineInfo.from_dict(json.loads(json.dumps(described.to_dict()))) == described


@each_engine
def test_several_layers_come_in_the_order_of_the_recipe(name, tiny_recipe, pixels):
    layers = ("conv_pw_3_relu", "avg_pool", "conv1_relu")
    recipe = Recipe("mobilenet", tiny_recipe.weights, layers, image_size=(32, 32))
    several = open_engine(name, recipe)(pixels)
    assert [features.shape for features in several] == [(9, 128), (9, 1024), (9, 32)]
    (alone,) = open_engine(name, tiny_recipe)(pixels)
    np.testing.assert_allclose(several[1], alone, atol=1e-5 * np.abs(alone).max())


@each_engine
def test_height_and_width_may_differ(name, tiny_recipe):
    recipe = Recipe("mobilenet", tiny_recipe.weights, image_size=(32, 64))
    assert open_engine(name, recipe)(np.zeros((1, 32, 64, 3), np.float32))[0].shape == (1, 1024)


def test_unknown_layer_and_engine_list_the_nearest(tiny_recipe):
    recipe = Recipe("mobilenet", tiny_recipe.weights, ("conv_pw_3_rel",), image_size=(32, 32))
    with pytest.raises(HeadstartError, match="conv_pw_3_relu"):
        open_engine("keras", recipe)
    with pytest.raises(HeadstartError, match="expected: auto, keras, openvino"):
        open_engine("kera", tiny_recipe)


def test_batches_may_be_started_ahead(engine, pixels):
    batches = [pixels[:4], pixels[4:8], pixels[8:]]
    finish = [engine.start(batch) for batch in batches[: engine.ahead + 1]]
    for batch, done in zip(batches, finish, strict=False):
        np.testing.assert_allclose(done()[0], engine(batch)[0], atol=1e-5)


def test_engines_agree(tiny_recipe, pixels):
    (keras,), (openvino,) = (open_engine(name, tiny_recipe)(pixels) for name in ("keras", "openvino"))
    assert relative_difference(openvino, keras) < 1e-4


def test_openvino_gives_a_row_the_same_bytes_in_any_batch(tiny_recipe, pixels):
    engine = open_engine("openvino", tiny_recipe)
    whole = engine(pixels)[0]
    assert np.array_equal(np.concatenate([engine(pixels[:2])[0], engine(pixels[2:])[0]]), whole)


def test_a_converted_model_is_kept_and_a_damaged_one_converted_again(tiny_recipe, pixels, monkeypatch):
    expected = open_engine("openvino", tiny_recipe)(pixels)[0]
    convert, calls = converted.float_model, []
    monkeypatch.setattr(converted, "float_model", lambda recipe: calls.append(recipe) or convert(recipe))
    open_engine("openvino", tiny_recipe)
    assert calls == []
    weights = converted.model_path(tiny_recipe).with_suffix(".bin")
    damaged = bytearray(weights.read_bytes())
    damaged[1000] ^= 1
    weights.write_bytes(damaged)
    assert np.array_equal(open_engine("openvino", tiny_recipe)(pixels)[0], expected)
    assert calls == [tiny_recipe]


def test_telemetry_is_as_if_not_installed():
    code = """
import sys
from extract.engines.conversion import without_telemetry
with without_telemetry():
    import openvino.tools.ovc.telemetry_utils as utils
print(utils.tm.__name__, "openvino_telemetry" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["openvino.tools.ovc.telemetry_stub", "False"]


@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
def test_reduced_precision_is_near(precision, tiny_recipe, pixels):
    recipe = replace(tiny_recipe, precision=precision)
    assert chosen_engine(recipe) == "keras"
    (exact,), (near,) = (open_engine("keras", each)(pixels) for each in (tiny_recipe, recipe))
    assert near.dtype == np.float32
    cosines = (exact * near).sum(axis=1) / np.linalg.norm(exact, axis=1) / np.linalg.norm(near, axis=1)
    assert 0.99 < cosines.min() < 1 - 1e-8
    with pytest.raises(HeadstartError, match="cannot compute with precision"):
        open_engine("openvino", recipe)


def test_auto_takes_keras_on_a_gpu_and_openvino_elsewhere(tiny_recipe, monkeypatch):
    import tensorflow as tf

    for gpus, engine in ([], "openvino"), (["GPU:0"], "keras"):
        monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind, gpus=gpus: gpus)
        assert chosen_engine(tiny_recipe) == engine


@pytest.fixture
def short_of_memory(tiny_recipe, monkeypatch):
    """A Keras engine whose device takes no more than some images at once."""
    import tensorflow as tf

    def make(most: int):
        engine = open_engine("keras", tiny_recipe)
        run = engine._run

        def limited(batch):
            if len(batch) > most:
                raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")
            return run(batch)

        engine._run = limited
        return engine

    return make


def test_out_of_memory_halves_the_batch_and_says_so(short_of_memory, pixels, tiny_recipe, caplog):
    engine = short_of_memory(3)
    (features,) = engine(pixels)
    np.testing.assert_allclose(features, open_engine("keras", tiny_recipe)(pixels)[0], atol=1e-5)
    assert engine.batch_size == 2
    assert "batches of 2 images from now on" in caplog.text


def test_no_memory_for_one_image_is_told(short_of_memory, pixels):
    with pytest.raises(HeadstartError) as caught:
        short_of_memory(0)(pixels)
    assert_four_parts(str(caught.value))


def test_one_of_several_gpus_is_used_and_told(tiny_recipe, monkeypatch, caplog):
    gpus, taken = ["GPU:0", "GPU:1"], []
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: gpus)
    monkeypatch.setattr(tf.config.threading, "set_intra_op_parallelism_threads", lambda threads: None)
    monkeypatch.setattr(tf.config, "set_visible_devices", lambda device, kind: taken.append(device))
    monkeypatch.setattr(tf.config.experimental, "set_memory_growth", lambda device, on: taken.append(device))
    monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda device: {"device_name": device})
    caplog.set_level("INFO", "headstart.engines")
    assert open_engine("keras", tiny_recipe, 1).describe().device == "GPU:0"
    assert taken == ["GPU:0", "GPU:0"]
    assert "2 GPUs are visible, and one is used: --runner ray --num-gpus 1" in caplog.text


class PixelEngine(Engine):
    """An engine of a table entry and this class alone: features are sums of pixels."""

    def __init__(self, recipe, threads):
        self.batch_size, self.ahead, self._layers = 4, 0, len(recipe.layers)

    def start(self, batch):
        return lambda: [batch.sum(axis=(1, 2)).astype(np.float32)] * self._layers

    def describe(self):
        return EngineInfo("pixels", np.__version__, "CPU")


@pytest.fixture
def pixel_engine(monkeypatch):
    entry = EngineEntry(f"{__name__}:PixelEngine", ("numpy",), ("float32", "bfloat16"), ("none", "int8"))
    monkeypatch.setitem(ENGINES, "pixels", entry)


def test_an_engine_is_one_entry_and_one_class(pixel_engine, tiny_recipe, images, tmp_path):
    """It is opened, chosen where it alone computes a recipe, recorded, and told on a cluster."""
    report = extract(open_source(images), tiny_recipe, tmp_path / "out.h5", Options(engine="pixels"))
    file = FeatureFile(tmp_path / "out.h5")
    assert (report.computed, file.features("avg_pool").shape) == (16, (16, 3))
    assert file.engine(0) == EngineInfo("pixels", np.__version__, "CPU")
    quantized = replace(tiny_recipe, precision="bfloat16", quantization="int8", calibration="ab")
    assert chosen_engine(quantized) == cpu_engine(quantized) == "pixels"
    assert cpu_engine(tiny_recipe) == "openvino"
    assert "numpy" in makers() and versions()["numpy"] == np.__version__


def test_help_names_every_engine(pixel_engine):
    assert engine_help() == "auto, openvino, keras or pixels."
    assert values_help("precision", "; ") == "float32; float16 or bfloat16 with keras, bfloat16 with pixels."
    assert values_help("quantization", ", or ") == "none, or int8 with openvino or pixels."
    with pytest.raises(HeadstartError, match="keras, openvino, pixels"):
        open_engine("other", Recipe("mobilenet", "00"))


def test_probe_image_is_frozen():
    """Its feature is stored in files; should the image change, every file would seem to have drifted."""
    image = probe_image((150, 150))
    assert (image.shape, image.dtype) == ((150, 150, 3), np.float32)
    assert (image.min(), image.max(), image.sum(dtype=np.float64)) == (0, 255, 8565115)
    assert image[149, 3].tolist() == [221, 250, 23]
