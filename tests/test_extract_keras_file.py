"""A user's Keras model as a backbone, and every file that is none."""

import json
import shutil
import zipfile
from dataclasses import replace

import h5py
import keras
import numpy as np
import pytest
from conftest import draw_images, extract_with, refused, trained
from contracts import BackboneContract, drawn_pixels
from invoking import fail, invoke, succeed
from typer.testing import CliRunner

from classify import Bundle, load_features
from classify.finetuning.model import blocks, unfreeze
from classify.frontier.grid import Request
from data import open_source
from extract import FeatureFile, Recipe
from extract.backbones.build import build_backbone
from extract.backbones.kinds import settled
from extract.backbones.layers import output_layers
from extract.backbones.seen import Seen
from extract.cli import app
from extract.engines.engine import open_engine
from extract.model_files.carried import GRAPH_FILE, bring_graph, carry_graph
from extract.model_files.keras_file import digest_of, output_warnings

SCALING = "0/1"


def small_model(size=(32, 32), name="mine"):
    """Two ways that meet, and a layer behind."""
    keras.utils.set_random_seed(1)
    images = keras.Input((*size, 3))
    values = keras.layers.Conv2D(8, 3, 2, activation="relu", name="block1_conv")(images)
    side = keras.layers.Conv2D(8, 3, padding="same", name="block2_conv")(values)
    values = keras.layers.BatchNormalization(name="block2_bn")(values + side)
    values = keras.layers.Conv2D(16, 3, 2, activation="relu", name="block3_conv")(values)
    return keras.Model(images, values, name=name)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def model():
    return small_model()


@pytest.fixture(scope="module")
def file(folder, model):
    model.save(folder / "mine.keras")
    return folder / "mine.keras"


@pytest.fixture(scope="module")
def recipe(file, cache):
    return Recipe.for_backbone(f"file:{file}", scaling=SCALING)


class TestKerasFile(BackboneContract):
    @pytest.fixture(scope="class")
    @classmethod
    def expected(cls, model):
        return lambda pixels: model.predict(pixels / 255, verbose=0).mean(axis=(1, 2))


def sequential():
    layers = keras.layers
    return keras.Sequential(
        [keras.Input((32, 32, 3)), layers.Conv2D(4, 3), layers.Flatten(), layers.Dense(5)]
    )


def nested():
    images = keras.Input((32, 32, 3))
    return keras.Model(
        images, keras.layers.Dense(3)(keras.layers.GlobalAveragePooling2D()(small_model()(images)))
    )


def with_dropout_and_augmentation():
    images = keras.Input((32, 32, 3))
    values = keras.layers.Dropout(0.5)(keras.layers.RandomFlip()(images))
    return keras.Model(images, keras.layers.GlobalMaxPooling2D()(values))


@pytest.mark.parametrize("make", [sequential, nested, with_dropout_and_augmentation])
@pytest.mark.parametrize("engine", ["keras", "openvino"])
def test_kinds_of_models(make, engine, tmp_path):
    made = make()
    made.save(tmp_path / "made.keras")
    recipe = Recipe.for_backbone(f"file:{tmp_path / 'made.keras'}", scaling=SCALING)
    pixels = drawn_pixels()
    np.testing.assert_allclose(
        open_engine(engine, recipe)(pixels)[0], made.predict(pixels / 255, verbose=0), atol=1e-5
    )


def of_any_size_inside():
    inner = keras.Sequential(
        [keras.Input((None, None, 3)), keras.layers.Conv2D(4, 3, 2), keras.layers.ReLU()]
    )
    images = keras.Input((32, 32, 3))
    return keras.Model(images, keras.layers.GlobalAveragePooling2D()(inner(images)))


def test_the_cost_of_a_model_of_any_size_inside_of_one(tmp_path):
    of_any_size_inside().save(tmp_path / "made.keras")
    (whole,) = output_layers(f"file:{tmp_path / 'made.keras'}")[-1:]
    assert whole.gflop == pytest.approx(2 * 15 * 15 * 3 * 3 * 3 * 4 / 1e9)


@pytest.mark.parametrize("name", ["my layer", "ünicode", "a,b", "_hidden"])
def test_names_that_tensorflow_takes_for_no_scope(name, tmp_path):
    images = keras.Input((32, 32, 3), name=name)
    values = keras.layers.Conv2D(8, 3, 2, activation="relu", name=f"{name}1")(images)
    made = keras.Model(images, keras.layers.Conv2D(4, 3, name=f"{name}2")(values), name=name)
    made.save(tmp_path / "made.keras")
    recipe, pixels = Recipe.for_backbone(f"file:{tmp_path / 'made.keras'}", scaling=SCALING), drawn_pixels()
    expected = np.asarray(made(pixels / 255)).mean(axis=(1, 2))  # not traced, which it cannot be
    for engine in ("keras", "openvino"):
        np.testing.assert_allclose(open_engine(engine, recipe)(pixels)[0], expected, atol=1e-5)


def test_features_that_are_probabilities_of_classes_are_told(tmp_path):
    images = keras.Input((32, 32, 3))
    values = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(8, 3, name="last_conv")(images))
    keras.Model(images, keras.layers.Dense(3, activation="softmax")(values)).save(tmp_path / "made.keras")
    source = open_source(draw_images(tmp_path / "images", each=4))
    name, told = f"file:{tmp_path / 'made.keras'}", "probabilities of the model's own classes; --layer NAME"
    report = extract_with(source, Recipe.for_backbone(name, scaling=SCALING), tmp_path / "rows.h5")
    assert any(told in line for line in report.warnings)
    inner = keras.Sequential(
        [keras.Input((None, None, 3)), keras.layers.GlobalAveragePooling2D(), keras.layers.Softmax()]
    )
    keras.Model(images, inner(images)).save(tmp_path / "nested.keras")
    nested = Recipe.for_backbone(f"file:{tmp_path / 'nested.keras'}", scaling=SCALING)
    assert told in output_warnings(nested.backbone, nested.layers)[0]
    recipe = Recipe.for_backbone(name, scaling=SCALING, layers="last_conv")
    report = extract_with(source, recipe, tmp_path / "other.h5")
    assert not any(told in line for line in report.warnings)


def test_the_last_layer_is_the_last_block_where_no_name_has_a_number():
    made = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            keras.layers.Conv2D(4, 3, name="first"),
            keras.layers.ReLU(),
            keras.layers.Conv2D(4, 3, name="second"),
        ]
    )
    made = keras.Model(made.inputs[0], made.outputs[0])
    unfreeze(made, "last")
    assert [layer.trainable for layer in made.layers] == [False, False, False, True]
    assert blocks(made) == {"first": 1, "second": 3}


def test_the_same_model_is_the_same_recipe_whatever_its_file(file, recipe, tmp_path):
    copy = shutil.copy(file, tmp_path / "renamed.keras")
    assert Recipe.for_backbone(f"file:{copy}", scaling=SCALING) == recipe
    again = keras.saving.load_model(file)
    again.compile("adam", "mse")
    again.fit(np.zeros((1, 32, 32, 3)), np.zeros((1, *again.output_shape[1:])), epochs=0, verbose=0)
    again.save(tmp_path / "saved again.keras")
    assert Recipe.for_backbone(f"file:{tmp_path / 'saved again.keras'}", scaling=SCALING) == recipe


def test_a_known_file_is_not_built_again(file, recipe, monkeypatch, tmp_path):
    from extract.model_files import keras_file

    monkeypatch.setattr(keras_file, "built", None)
    copy = shutil.copy(file, tmp_path / "copy.keras")
    assert Recipe.for_backbone(f"file:{copy}", scaling=SCALING) == recipe


def test_weights_in_another_order_are_others(tmp_path):
    layers = keras.layers
    made = keras.Sequential([keras.Input((32, 32, 3)), layers.Conv2D(3, 3), layers.Conv2D(3, 3)])
    made.save(tmp_path / "one.keras")
    tensors = made.get_weights()
    made.set_weights(tensors[2:] + tensors[:2])
    made.save(tmp_path / "two.keras")
    one, two = (
        Recipe.for_backbone(f"file:{tmp_path / name}.keras", scaling="none") for name in ("one", "two")
    )
    assert one.backbone == two.backbone and one.weights != two.weights


@pytest.mark.slow
def test_the_real_xception_gives_the_features_that_it_gives_by_name(imagenet, tmp_path):
    from extract.backbones.weights import load_backbone

    load_backbone("xception", (96, 96), imagenet.digest).save(tmp_path / "xception.keras")
    named = Recipe("xception", imagenet.digest, image_size=(96, 96))
    own = Recipe.for_backbone(f"file:{tmp_path / 'xception.keras'}", scaling="minus_one_to_one")
    pixels = np.random.default_rng(0).uniform(0, 255, (4, 96, 96, 3)).astype(np.float32)
    for engine in ("keras", "openvino"):
        (expected,), (found,) = (open_engine(engine, each)(pixels) for each in (named, own))
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_any_size_is_taken_where_the_input_takes_any(tmp_path):
    made = small_model((None, None))
    made.save(tmp_path / "any.keras")
    name = f"file:{tmp_path / 'any.keras'}"
    refused(lambda: Recipe.for_backbone(name, scaling=SCALING), "any size", "--image-size")
    recipe = Recipe.for_backbone(name, scaling=SCALING, image_size=(40, 48))
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 40, 48, 3)).astype(np.float32)
    for engine in ("keras", "openvino"):
        expected = made.predict(pixels / 255, verbose=0).mean(axis=(1, 2))
        np.testing.assert_allclose(open_engine(engine, recipe)(pixels)[0], expected, atol=1e-5)
    assert [layer.name for layer in output_layers(name, 64)][-1] == "avg_pool"


def test_layers_and_a_layer_of_the_name_avg_pool(file, folder):
    layers = output_layers(f"file:{file}")
    assert [layer.width for layer in layers][-1] == 16 and {layer.name for layer in layers} > {"block1_conv"}
    images = keras.Input((32, 32, 3))
    values = keras.layers.GlobalAveragePooling2D(name="avg_pool")(keras.layers.Conv2D(7, 3)(images))
    keras.Model(images, keras.layers.Dense(3, activation="softmax")(values)).save(folder / "classifier.keras")
    recipe = Recipe.for_backbone(f"file:{folder / 'classifier.keras'}", scaling=SCALING)
    assert open_engine("keras", recipe)(drawn_pixels())[0].shape == (9, 7)


@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
def test_other_arithmetics(precision, recipe):
    exact, near = (
        open_engine("keras", each)(drawn_pixels())[0]
        for each in (recipe, replace(recipe, precision=precision))
    )
    assert 0 < np.abs(exact - near).max() < 0.02 * np.abs(exact).max()


def changed(file, path, **changes):
    """Copy a .keras file with other members; a function gets what was there."""
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            change = changes.get(name.split(".")[-2] if "." in name else name)
            content = change(old.read(name)) if change else old.read(name)
            if content is not None:
                new.writestr(name, content)
    return path


def configured(change):
    """Return what changes the configuration of a model, parsed."""

    def apply(text):
        values = json.loads(text)
        change(values)
        return json.dumps(values)

    return apply


def _first_layer(**values):
    return lambda config: config["config"]["layers"][1].update(values)


def widened(config, name, filters):
    (layer,) = (each for each in config["config"]["layers"] if each["name"] == name)
    layer["config"]["filters"] = filters


def _elsewhere(data, folder):
    path = folder / "linked.h5"
    path.write_bytes(data)
    with h5py.File(path, "r+") as opened:
        del opened["layers"]
        opened["layers"] = h5py.ExternalLink("secret.h5", "/")
    return path.read_bytes()


class Own(keras.layers.Layer):
    def call(self, inputs):
        return inputs


def _saved(outputs):
    def save(file, path):
        images = keras.Input((32, 32, 3))
        keras.Model(images, outputs(images)).save(path)

    return save


def _two_inputs(file, path):
    images = [keras.Input((32, 32, 3)) for _ in range(2)]
    keras.Model(images, keras.layers.Add()(images)).save(path)


def _grey(file, path):
    images = keras.Input((32, 32, 1))
    keras.Model(images, keras.layers.Conv2D(2, 3)(images)).save(path)


def _tokens(file, path):
    words = keras.Input((32,))
    keras.Model(words, keras.layers.Dense(2)(words)).save(path)


def _without_input(file, path):
    layers = [
        keras.layers.Rescaling(1 / 255),
        keras.layers.Conv2D(2, 3),
        keras.layers.GlobalAveragePooling2D(),
    ]
    keras.Sequential(layers).save(path)


REFUSED = {
    "no input": (_without_input, "begin with keras.Input"),
    "a Lambda": (_saved(keras.layers.Lambda(lambda x: x * 2)), "Lambda layer, whose code"),
    "a layer of the user's": (_saved(lambda images: Own()(images)), "custom object"),
    "two outputs": (_saved(lambda images: [keras.layers.Flatten()(images), images]), "2 outputs"),
    "two inputs": (_two_inputs, "2 inputs"),
    "one channel": (_grey, "(None, 32, 32, 1)"),
    "no images": (_tokens, "(None, 32)"),
    "text": (lambda file, path: path.write_text("no model"), "BadZipFile"),
    "cut": (lambda file, path: path.write_bytes(file.read_bytes()[:-900]), "BadZipFile"),
    "no weights": (lambda file, path: changed(file, path, weights=lambda data: None), "model.weights.h5"),
    "weights of another": (
        lambda file, path: changed(file, path, weights=lambda data: data[:-99]),
        "weights as",
    ),
    "weights elsewhere": (
        lambda file, path: changed(file, path, weights=lambda data: _elsewhere(data, path.parent)),
        "in another file",
    ),
    "no JSON": (lambda file, path: changed(file, path, config=lambda text: b"{"), "config.json"),
    "a module": (
        lambda file, path: changed(
            file, path, config=configured(_first_layer(module="os", class_name="system"))
        ),
        "custom object os.system",
    ),
    "a SavedModel": (
        lambda file, path: changed(file, path, config=configured(_first_layer(class_name="TFSMLayer"))),
        "TFSMLayer layer, whose code",
    ),
    "a vocabulary": (
        lambda file, path: changed(file, path, config=configured(_first_layer(class_name="StringLookup"))),
        "may read other files",
    ),
    "more numbers than the file has": (
        lambda file, path: changed(
            file, path, config=configured(lambda config: widened(config, "block3_conv", 10**8))
        ),
        "as many numbers as",
    ),
    "a layer that is none": (
        lambda file, path: changed(file, path, config=configured(_first_layer(class_name="Conv9D"))),
        "safe mode",
    ),
    "another class": (
        lambda file, path: changed(
            file, path, config=configured(lambda config: config.update(class_name="Dense"))
        ),
        "Functional or Sequential",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_a_backbone(case, file, tmp_path):
    write, words = REFUSED[case]
    path = tmp_path / "bad.keras"
    write(file, path)
    before = set((tmp_path.parent).rglob("*"))
    refused(
        lambda: Recipe.for_backbone(f"file:{path}", scaling=SCALING),
        "'bad.keras' cannot be a backbone",
        words,
    )
    assert set((tmp_path.parent).rglob("*")) == before


def test_weights_that_were_only_counted_are_not_made_with_the_next_model(file, tmp_path):
    """Layers of its own have Keras compute in a scope, behind which it makes what waits for it."""
    write, words = REFUSED["more numbers than the file has"]
    path = tmp_path / "wide.keras"
    write(file, path)
    refused(lambda: Recipe.for_backbone(f"file:{path}", scaling=SCALING), words)
    assert build_backbone("convnexttiny", (32, 32)).output.shape == (None, 1, 1, 768)


def test_a_file_of_too_many_bytes(file, monkeypatch, tmp_path):
    from extract.model_files import keras_file

    monkeypatch.setitem(keras_file._LARGEST, "config.json", 100)
    path = changed(file, tmp_path / "large.keras")
    refused(lambda: Recipe.for_backbone(f"file:{path}", scaling=SCALING), "100 bytes at most")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, ("what file:", "--scaling none")),
        ({"scaling": "sideways"}, ("unknown scaling",)),
        ({"scaling": SCALING, "image_size": 64}, ("do not fit", "32x32")),
        ({"scaling": SCALING, "weights": "none"}, ("brings its weights",)),
        ({"scaling": SCALING, "weights": "no.weights.h5"}, ("no weights",)),
    ],
)
def test_what_a_model_has_to_be_asked_with(given, words, file):
    refused(lambda: Recipe.for_backbone(f"file:{file}", **given), *words)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("file:missing.keras", "no model file"),
        ("file:.", "no model file that"),
        ("file:model.h5", "ends in .keras"),
        ("file:model.h5", "keras.models.load_model(FILE"),
        ("file:model.weights.h5", "load these weights into their model"),
        ("keras:123", "names no backbone"),
        ("torch:" + "0" * 64, "names no backbone"),
        ("keras:" + "0" * 64, "not in the cache"),
    ],
)
def test_names_that_are_none(name, words):
    refused(lambda: Recipe.for_backbone(name, scaling=SCALING), words)


def test_a_damaged_cache_is_told(file, recipe, tmp_path, monkeypatch):
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "cache"))
    path = shutil.copy(file, tmp_path / "other.keras")
    again = Recipe.for_backbone(f"file:{path}", scaling=SCALING)
    assert again == recipe
    graph = tmp_path / "cache" / "models" / f"{again.backbone.replace(':', '-')}.json"
    whole = graph.read_text()
    graph.write_text(whole.replace('"relu"', '"selu"'))
    refused(lambda: open_engine("keras", again), "a model in the cache is damaged")
    (record,) = (tmp_path / "cache" / "models").glob("*.record.json")
    record.write_text("{}")
    refused(lambda: open_engine("openvino", again), "is damaged")


def test_models_are_never_mixed(file, recipe, tmp_path):
    images = draw_images(tmp_path / "images", each=6)
    extract_with(open_source(images), recipe, tmp_path / "rows.h5")
    small_model(name="other").save(tmp_path / "other.keras")
    other = Recipe.for_backbone(f"file:{tmp_path / 'other.keras'}", scaling=SCALING)
    refused(
        lambda: extract_with(open_source(images), other, tmp_path / "rows.h5"), "another recipe", "backbone="
    )
    scaled = replace(recipe, scaling="none")
    refused(lambda: extract_with(open_source(images), scaled, tmp_path / "rows.h5"), "scaling=none")
    extract_with(open_source(images), other, tmp_path / "others.h5")
    joined = load_features([tmp_path / "rows.h5", tmp_path / "others.h5"])
    assert joined.X.shape == (12, 32) and len(joined.feature_sets) == 2


def test_all_the_way_from_the_command_line(file, tmp_path, monkeypatch):
    """Run, info, train, predict, fine-tune, export: with the name of the file alone."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(file, "mine.keras")
    draw_images(tmp_path / "photos", each=40)
    words = ["run", "photos", "--backbone", "file:mine.keras", "--scaling", SCALING]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    found = FeatureFile("photos.h5")
    assert found.contents.weights["model"] == "mine.keras"
    info = CliRunner().invoke(app, ["info", "photos.h5"]).stdout
    assert (
        "licence   that of the file they came from" in info
        and "weights   mine.keras: file mine.keras" in info
    )
    (tmp_path / "mine.keras").unlink()  # it is in the cache
    bundle = trained(tmp_path / "photos.h5")
    assert "blue" in succeed("predict", bundle, "photos/blue/000.png")
    words = ("finetune", bundle, "photos", "--epochs", 1, "--unfreeze", "all", "--json")
    report = json.loads(invoke(*words).stdout)
    assert report["parameters"]["trainable"] > 0 and report["after"]["rows"] > 0
    tuned = Bundle.load(report["bundle"])
    (own,) = tuned.feature_sets
    assert own.recipe.backbone == found.recipe.backbone and own.recipe.weights != found.recipe.weights
    assert own.weights["model"] == "mine.keras"
    for format, suffix in (("openvino", "xml"), ("keras", "keras")):
        words = ("export", report["bundle"], "-o", f"exported.{suffix}", "--format", format, "--json")
        assert json.loads(invoke(*words).stdout)["largest_difference"] < 1e-5
    here = invoke("predict", report["bundle"], "photos").stdout
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "another machine"))
    assert "'mine.keras'" in fail("predict", bundle, "photos/blue/000.png")
    Bundle.load(report["bundle"]).save("copied")  # not used on this machine yet
    assert invoke("predict", "copied", "photos").stdout == here  # a tuned one brings its graph


def test_a_graph_that_a_bundle_brings_is_checked(recipe, file, tmp_path, monkeypatch):
    weights, graph = tmp_path / "backbone.weights.h5", tmp_path / GRAPH_FILE
    weights.write_bytes(bytes(1 << 20))
    carry_graph(recipe.backbone, graph)
    told = json.loads(graph.read_text())
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "another machine"))

    def bring(values, name=recipe.backbone):
        graph.write_text(json.dumps(values))
        bring_graph(name, weights, "mine.keras")

    refused(lambda: bring({**told, "graph": {}}), "is damaged", "copy the bundle")
    refused(lambda: bring({"graph": told["graph"]}), "is damaged")
    run = told["graph"] | {"class_name": "Lambda"}
    refused(lambda: bring({**told, "graph": run}, f"keras:{digest_of(run)}"), "whose code is in the file")
    weights.write_bytes(b"few")
    refused(lambda: bring(told), "3 bytes of weights")
    weights.write_bytes(bytes(1 << 20))
    graph.unlink()
    refused(lambda: bring_graph(recipe.backbone, weights, "mine.keras"), "'mine.keras'", "file:MODEL")
    bring(told)
    assert settled(recipe.backbone).file == file.name


def test_a_frontier_of_it(file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    draw_images(tmp_path / "photos", each=40)
    shutil.copy(file, "mine.keras")
    words = ("frontier", "photos", "--backbones", "file:mine.keras", "--rows", 40, "--arithmetics", "float32")
    assert "--scaling" in invoke(*words, "--json").stdout  # it has none of its own
    result = invoke(*words, "--scaling", SCALING, "--antialias")
    assert result.exit_code == 0, result.output
    assert f"--backbone file:mine.keras --image-size 32 --antialias --scaling {SCALING}" in result.stdout


def test_a_frontier_with_others_gives_the_scaling_to_it_alone(file, small_recipe):
    request = Request(backbones=(f"file:{file}", "smallnet"), seen=Seen(scaling=SCALING, crop=0.9))
    assert request.seen_by(f"file:{file}") == request.seen
    assert request.seen_by("smallnet") == Seen(crop=0.9)
    alone = Request(backbones=("smallnet",), seen=Seen(scaling=SCALING))
    assert alone.seen_by("smallnet") == alone.seen


def test_int8(recipe, tmp_path):
    pytest.importorskip("nncf")
    from extract.run.calibrate import quantized

    int8 = quantized(recipe, open_source(draw_images(tmp_path / "images", each=20)))
    exact, near = (open_engine("openvino", each)(drawn_pixels())[0] for each in (recipe, int8))
    cosines = (exact * near).sum(axis=1) / np.linalg.norm(exact, axis=1) / np.linalg.norm(near, axis=1)
    assert 0.95 < cosines.min() < 1 - 1e-6
