"""ONNX and OpenVINO files as backbones, and every file that is none."""

import json
import shutil
from dataclasses import replace

import keras
import numpy as np
import openvino
import pytest
from conftest import draw_images, extract_with, extracted, refused, trained
from contracts import BackboneContract, drawn_pixels
from invoking import fail, invoke
from keras import layers
from openvino import opset13 as ops
from typer.testing import CliRunner

from classify import Bundle
from data import HeadstartError, open_source
from extract import Recipe
from extract.backbones.weights import find_weights, load_backbone
from extract.cli import app
from extract.engines.engine import open_engine
from extract.engines.file_graph import gflop
from extract.engines.keras_engine import feature_model
from extract.engines.probe import check_probes

onnx = pytest.importorskip("onnx")
SCALING = "0.5,0.4,0.3/0.2,0.25,0.3"
MEAN, DEVIATION = np.array([0.5, 0.4, 0.3]), np.array([0.2, 0.25, 0.3])


class Tokens(layers.Layer):
    """The first token in front of the others, and what tells their places."""

    def build(self, shape):
        self.first = self.add_weight(shape=(1, 1, shape[-1]), initializer="normal", name="first")
        self.places = self.add_weight(shape=(1, shape[1] + 1, shape[-1]), initializer="normal", name="places")

    def call(self, patches):
        first = keras.ops.repeat(self.first, keras.ops.shape(patches)[0], axis=0)
        return keras.ops.concatenate([first, patches], axis=1) + self.places


def transformer(channels_first=True, size=32):
    """A vision transformer of two blocks, as timm and DINOv2 have them, with random weights."""
    keras.utils.set_random_seed(2)
    images = keras.Input((3, size, size) if channels_first else (size, size, 3), name="pixel_values")
    values = layers.Permute((2, 3, 1))(images) if channels_first else images
    values = Tokens()(layers.Reshape((-1, 24))(layers.Conv2D(24, 8, 8)(values)))
    for _ in range(2):
        normal = layers.LayerNormalization()(values)
        values = values + layers.MultiHeadAttention(2, 12)(normal, normal)
        wide = layers.Dense(48, lambda x: keras.activations.gelu(x, approximate=True))
        values = values + layers.Dense(24)(wide(layers.LayerNormalization()(values)))
    return keras.Model(images, layers.LayerNormalization()(values))


def exported(model, path):
    model(np.zeros((1, *model.input_shape[1:]), np.float32))  # Keras writes models that were called once
    model.export(path, format="onnx", verbose=False)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def model():
    return transformer()


@pytest.fixture(scope="module")
def file(folder, model):
    return exported(model, folder / "vit.onnx")


@pytest.fixture(scope="module")
def recipe(file, cache):
    return Recipe.for_backbone(f"file:{file}", scaling=SCALING, pooling="cls")


def scaled(pixels):
    return ((pixels / 255 - MEAN) / DEVIATION).astype(np.float32)


class TestOnnx(BackboneContract):
    """Channels first; the first token."""

    engines = ("openvino",)

    @pytest.fixture(scope="class")
    @classmethod
    def expected(cls, model):
        return lambda pixels: model.predict(scaled(pixels).transpose(0, 3, 1, 2), verbose=0)[:, 0]


class TestOpenVinoFile(BackboneContract):
    """Channels last; the mean of the tokens."""

    engines = ("openvino",)

    @pytest.fixture(scope="class")
    @classmethod
    def model(cls):
        return transformer(channels_first=False)

    @pytest.fixture(scope="class")
    @classmethod
    def recipe(cls, model, folder, cache):
        openvino.save_model(openvino.convert_model(model), folder / "vit.xml", compress_to_fp16=False)
        return Recipe.for_backbone(f"file:{folder / 'vit.xml'}", scaling=SCALING)

    @pytest.fixture(scope="class")
    @classmethod
    def expected(cls, model):
        return lambda pixels: model.predict(scaled(pixels), verbose=0).mean(axis=1)


@pytest.mark.parametrize(
    "name",
    [
        "efficientnetlite0",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("efficientnetlite2", "xception")),
    ],
)
def test_real_nets_give_their_features_out_of_an_onnx_file(name, cache, tmp_path):
    try:
        weights = find_weights(name).digest
    except HeadstartError as error:
        pytest.skip(f"needs ImageNet weights: {error}")
    named = Recipe.for_backbone(name, image_size=96)
    backbone = load_backbone(name, (96, 96), weights)
    exported(backbone, tmp_path / "net.onnx")
    own = Recipe.for_backbone(f"file:{tmp_path / 'net.onnx'}", scaling=named.scaling)
    pixels = np.random.default_rng(0).uniform(0, 255, (4, 96, 96, 3)).astype(np.float32)
    expected = feature_model(named, backbone).predict(pixels, verbose=0)
    expected = expected[0] if isinstance(expected, list) else expected
    found = open_engine("openvino", own)(pixels)[0]
    assert found.std() > 0.01
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert gflop(own) == pytest.approx(gflop(named), rel=0.02)


def saved(model, path):
    openvino.save_model(model, path, compress_to_fp16=False)
    return f"file:{path}"


def small_graph(shape=(-1, 3, -1, -1), kind=np.float32, wrong=1.0):
    """A convolution, by hand: of any batch and size, or of those in the shape."""
    images = ops.parameter(openvino.PartialShape(list(shape)), kind, name="images")
    kernel = np.random.default_rng(0).normal(size=(5, max(3, shape[1]), 3, 3)).astype(np.float32) * wrong
    floats = ops.convert(images, "f32") if kind != np.float32 else images
    made = ops.convolution(floats, ops.constant(kernel), [1, 1], [0, 0], [0, 0], [1, 1])
    made.output(0).get_tensor().set_names({"maps"})
    return openvino.Model([ops.result(made)], [images])


def test_any_size_and_any_order_of_a_shape_that_says_nothing(folder):
    name = saved(small_graph((-1, -1, -1, -1)), folder / "any.xml")
    refused(lambda: Recipe.for_backbone(name, scaling="0/1"), "any size", "--image-size")
    recipe = Recipe.for_backbone(name, scaling="0/1", image_size=(20, 30))
    assert open_engine("openvino", recipe)(np.ones((2, 20, 30, 3), np.float32))[0].shape == (2, 5)


def test_a_model_of_whole_numbers_gets_rounded_pixels_that_nothing_scales(folder):
    pixels = drawn_pixels()
    whole, floats = (
        Recipe.for_backbone(saved(graph, folder / f"{name}.xml"), scaling="none", image_size=32)
        for name, graph in (("whole", small_graph(kind=np.uint8)), ("floats", small_graph()))
    )
    found = open_engine("openvino", whole)(pixels)[0]
    np.testing.assert_allclose(found, open_engine("openvino", floats)(pixels.round())[0], rtol=1e-5)
    refused(lambda: open_engine("openvino", replace(whole, scaling="0/1")), "whole numbers", "--scaling none")


def one_alone(statistics):
    """A model that is right for one image: its batch is fixed, or it normalizes over the batch."""
    images = ops.parameter(openvino.PartialShape([-1 if statistics else 1, 3, 32, 32]), np.float32)
    kernel = np.random.default_rng(0).normal(size=(5, 3, 3, 3)).astype(np.float32)
    made = ops.convolution(images, ops.constant(kernel), [2, 2], [0, 0], [0, 0], [1, 1])
    if statistics:
        made = ops.subtract(made, ops.reduce_mean(made, ops.constant(np.array([0, 2, 3])), keep_dims=True))
        return openvino.Model([ops.result(ops.relu(made))], [images])
    flat = ops.reshape(made, ops.constant(np.array([1, 5 * 15 * 15])), special_zero=False)
    return openvino.Model([ops.result(flat)], [images])


@pytest.mark.parametrize("statistics", [False, True])
def test_a_model_that_takes_one_image_gets_one(statistics, folder):
    name = saved(one_alone(statistics), folder / f"alone{statistics}.xml")
    engine = open_engine("openvino", Recipe.for_backbone(name, scaling="0/1"))
    assert engine.batch_size == 1
    pixels = drawn_pixels()
    whole = engine(pixels)[0]
    np.testing.assert_allclose(whole[3:4], engine(pixels[3:4])[0], rtol=1e-5)
    assert len(whole) == 9 and len(np.unique(whole.round(4), axis=0)) == 9


def test_several_outputs_and_layers(folder):
    graph = small_graph()
    relu = ops.relu(graph.get_results()[0].input_value(0))
    relu.output(0).get_tensor().set_names({"active"})
    graph.add_results([ops.result(relu)])
    name = saved(graph, folder / "two.xml")
    with_layers = {"scaling": "0/1", "image_size": 32}
    recipe = Recipe.for_backbone(name, layers=("active", "maps"), **with_layers)
    active, maps = open_engine("openvino", recipe)(drawn_pixels())
    assert (active > maps).any() and active.shape == maps.shape == (9, 5)
    refused(
        lambda: open_engine("openvino", replace(recipe, layers=("avg_pool",))), "several outputs", "--layer"
    )
    refused(lambda: open_engine("openvino", replace(recipe, layers=("map",))), "unknown layer", "maps")
    refused(lambda: open_engine("openvino", replace(recipe, pooling="cls")), "cannot be pooled by cls")
    refused(lambda: open_engine("openvino", replace(recipe, pooling="none")), "cannot be pooled by none")


def test_external_data_belong_to_the_digest(file, recipe, tmp_path):
    names = [f"file:{with_external(file, tmp_path / part)}" for part in ("one", "two")]
    one, two = (Recipe.for_backbone(name, scaling=SCALING, pooling="cls") for name in names)
    assert one == two and one.weights != recipe.weights
    pixels = drawn_pixels()
    expected, found = (open_engine("openvino", each)(pixels)[0] for each in (recipe, one))
    np.testing.assert_allclose(found, expected, atol=1e-6)
    data = tmp_path / "two" / "weights.bin"
    data.write_bytes(bytes(8) + data.read_bytes()[8:])
    (tmp_path / "two" / "vit.onnx").touch()
    assert Recipe.for_backbone(names[1], scaling=SCALING, pooling="cls").weights != one.weights


def with_external(file, folder, place="weights.bin"):
    """Write an ONNX file whose weights lie beside it."""
    folder.mkdir()
    values = onnx.load(file)
    onnx.external_data_helper.convert_model_to_external_data(
        values, location="weights.bin", size_threshold=64
    )
    onnx.save(values, folder / "vit.onnx")
    if place != "weights.bin":
        text = (folder / "vit.onnx").read_bytes()
        assert len(place) == len("weights.bin")
        (folder / "vit.onnx").write_bytes(text.replace(b"weights.bin", place.encode()))
    return folder / "vit.onnx"


def _two_inputs(file, path):
    images = [ops.parameter([-1, 3, 8, 8], np.float32) for _ in range(2)]
    saved(openvino.Model([ops.result(ops.add(*images))], images), path.with_suffix(".xml"))


def _shaped(*shape):
    return lambda file, path: saved(small_graph(shape), path.with_suffix(".xml"))


def _vectors(file, path):
    words = ops.parameter([-1, 16], np.float32)
    saved(openvino.Model([ops.result(ops.relu(words))], [words]), path.with_suffix(".xml"))


def _no_bin(file, path):
    saved(small_graph(), path.with_suffix(".xml"))
    path.with_suffix(".bin").unlink()


def _short_bin(file, path):
    saved(small_graph(), path.with_suffix(".xml"))
    path.with_suffix(".bin").write_bytes(path.with_suffix(".bin").read_bytes()[:100])


def _external(place):
    def write(file, path):
        (path.parent / "weightsweig").write_bytes(bytes(1 << 16))
        shutil.copytree(with_external(file, path.parent / "made", place).parent, path.parent / "bad")
        shutil.copy(path.parent / "bad" / "vit.onnx", path)

    return write


REFUSED = {
    "two inputs": (_two_inputs, "2 inputs"),
    "four channels": (_shaped(-1, 4, 32, 32), "[?,4,32,32]"),
    "eight images": (_shaped(8, 3, 32, 32), "[8,3,32,32]"),
    "no images": (_vectors, "[?,16]"),
    "no weights": (_no_bin, "no file 'bad.bin'"),
    "few weights": (_short_bin, "received: Incorrect weights in bin file!"),
    "text": (lambda file, path: path.write_text("no model"), "ONNX file, whole"),
    "nothing": (lambda file, path: path.write_bytes(b""), "an empty file"),
    "cut": (lambda file, path: path.write_bytes(file.read_bytes()[:-900]), "ends before its last field"),
    "other XML": (lambda file, path: path.with_suffix(".xml").write_text("<html></html>"), "XML of 'html'"),
    "no XML": (lambda file, path: path.with_suffix(".xml").write_text("<net"), "in XML"),
    "external data above": (_external("../weightsw"), "own folder"),
    "external data anywhere": (_external("/etc/passwd"), "own folder"),
    "no external data": (_external("missing.bin"), "no file 'missing.bin'"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_a_backbone(case, file, tmp_path):
    write, words = REFUSED[case]
    (tmp_path / "inner").mkdir()
    path = tmp_path / "inner" / "bad.onnx"
    write(file, path)
    path = path if path.exists() else path.with_suffix(".xml")
    name = f"file:{path}"
    refused(lambda: Recipe.for_backbone(name, scaling="none"), f"{path.name!r} cannot be a backbone", words)


@pytest.mark.parametrize(
    ("wrong", "words"), [(np.nan, "no numbers"), (0.0, "same features for other images")]
)
def test_a_model_that_gives_nothing(wrong, words, folder, tmp_path):
    name = saved(small_graph(wrong=wrong), folder / "wrong.xml")
    recipe = Recipe.for_backbone(name, scaling="0/1", image_size=32)
    images = open_source(draw_images(tmp_path / "images", each=3))
    refused(lambda: extract_with(images, recipe, tmp_path / "rows.h5"), words, "--scaling")
    assert not (tmp_path / "rows.h5").exists()


def test_a_model_that_is_never_the_same(folder):
    images = ops.parameter([-1, 3, 32, 32], np.float32)
    vectors = ops.reduce_mean(images, ops.constant(np.array([2, 3])))
    noise = ops.random_uniform(
        ops.shape_of(vectors), ops.constant(np.float32(0)), ops.constant(np.float32(9)), "f32"
    )
    model = openvino.Model([ops.result(ops.add(vectors, noise))], [images])
    recipe = Recipe.for_backbone(saved(model, folder / "noise.xml"), scaling="none")
    engine = open_engine("openvino", recipe)
    refused(lambda: check_probes(engine, recipe, []), "other features for the same image", "random")


def test_a_size_that_the_graph_does_not_take(file, folder):
    refused(lambda: Recipe.for_backbone(f"file:{file}", scaling="none", image_size=40), "do not fit", "32x32")
    name = saved(small_graph(), folder / "small.xml")
    recipe = Recipe.for_backbone(name, scaling="none", image_size=2)
    refused(lambda: open_engine("openvino", recipe), "cannot be computed for images of 2x2")


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_keras_does_not_compute_it(precision, recipe):
    words = "whose graph is Keras'" if precision == "float32" else "no engine can compute"
    name = "keras" if precision == "float32" else "auto"
    refused(lambda: open_engine(name, replace(recipe, precision=precision)), words)


def test_a_damaged_cache_is_told(recipe, file, tmp_path, monkeypatch):
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "cache"))
    again = Recipe.for_backbone(
        f"file:{shutil.copy(file, tmp_path / 'other.onnx')}", scaling=SCALING, pooling="cls"
    )
    assert again == recipe
    (kept,) = (tmp_path / "cache" / "models").glob("*/model.onnx")
    kept.write_bytes(kept.read_bytes() + b" ")
    refused(lambda: open_engine("openvino", again), "a model in the cache is damaged")


def test_all_the_way_from_the_command_line(file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(file, "vit.onnx")
    draw_images(tmp_path / "photos", each=40)
    model = ["--backbone", "file:vit.onnx", "--scaling", SCALING, "--pooling", "cls"]
    words = ["run", "photos", *model, "--resize", "bicubic", "--antialias", "--crop", "0.9"]
    for more in ([], ["--plan", "-o", "new.h5"]):
        done = CliRunner().invoke(app, words + more)
        assert done.exit_code == 0, done.output
    bundle = trained(tmp_path / "photos.h5")
    assert "Keras'" in fail("finetune", bundle, "photos")
    assert "Keras'" in fail("export", bundle, "-o", "model.keras", "--fixed-size")
    assert "--fixed-size" in fail("export", bundle, "-o", "model.xml", "--format", "openvino")
    export = ("export", bundle, "-o", "model.xml", "--format", "openvino", "--fixed-size", "--json")
    told = json.loads(invoke(*export).stdout)
    assert told["input_shape"] == [None, 32, 32, 3] and told["largest_difference"] < 1e-5
    assert any("INFERENCE_PRECISION_HINT=f32" in note for note in told["notes"])
    listed = CliRunner().invoke(app, ["layers", "--backbone", "file:vit.onnx"])
    assert listed.exit_code == 1 and "Keras'" in listed.output
    wrong = CliRunner().invoke(app, [*words, "--layer", "no", "-o", "no.h5"])
    assert wrong.exit_code == 2 and "unknown layer" in wrong.output


@pytest.mark.parametrize("resize", ["bilinear", "bicubic"])
def test_an_exported_model_resizes_as_the_recipe_does(resize, recipe, tmp_path):
    from classify.bundle.export import export

    own = replace(recipe, resize=resize)
    bundle = Bundle.load(trained(extracted(own, tmp_path / "rows.h5")))
    told = export(bundle, tmp_path / "model.xml", "openvino")
    assert told.input_shape == [None, None, None, 3] and told.largest_difference < 1e-4


def test_int8(recipe, tmp_path):
    pytest.importorskip("nncf")
    from extract.run.calibrate import quantized

    int8 = quantized(recipe, open_source(draw_images(tmp_path / "images", each=20)))
    exact, near = (open_engine("openvino", each)(drawn_pixels())[0] for each in (recipe, int8))
    cosines = (exact * near).sum(axis=1) / np.linalg.norm(exact, axis=1) / np.linalg.norm(near, axis=1)
    assert 0.8 < cosines.min() < 1 - 1e-6
