"""Presets of KerasHub as backbones, with random weights."""

import json
import shutil

import keras
import numpy as np
import pytest
from conftest import draw_images, refused, trained
from contracts import BackboneContract, drawn_pixels
from invoking import fail, invoke, succeed
from PIL import Image
from typer.testing import CliRunner

from classify import load_features
from data.images import load_image
from data.sources.arrays import npy_bytes
from extract import Recipe
from extract.cli import app
from extract.engines.engine import open_engine

keras_hub = pytest.importorskip("keras_hub")
MEAN, DEVIATION = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("presets")


@pytest.fixture(scope="module")
def backbone():
    keras.utils.set_random_seed(0)
    return keras_hub.models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[3],
        stackwise_num_filters=[64, 128],
        stackwise_num_blocks=[1, 1],
        stackwise_num_strides=[1, 2],
        block_type="basic_block",
        use_pre_activation=False,
        image_shape=(None, None, 3),
    )


@pytest.fixture(scope="module")
def converter():
    """What the preset does to images: its own size, scaling, filter and crop."""
    scale, offset = list(1 / (255 * DEVIATION)), list(-MEAN / DEVIATION)
    return keras_hub.layers.ResNetImageConverter(
        image_size=(32, 32), scale=scale, offset=offset, interpolation="bilinear", crop_to_aspect_ratio=False
    )


@pytest.fixture(scope="module")
def preset(folder, backbone, converter):
    for part in (backbone, converter):
        part.save_to_preset(str(folder / "tiny_resnet"))
    return folder / "tiny_resnet"


@pytest.fixture(scope="module")
def recipe(preset, cache):
    return Recipe.for_backbone(f"hub:{preset}")


class TestHub(BackboneContract):
    tolerance = 1e-4

    @pytest.fixture(scope="class")
    @classmethod
    def expected(cls, backbone, converter):
        return lambda pixels: backbone.predict(converter(pixels), verbose=0).mean(axis=(1, 2))


def test_the_presets_own_preprocessing_is_in_the_recipe(recipe, converter):
    assert recipe.image_size == (32, 32) and recipe.resize == "bilinear" and not recipe.antialias
    assert recipe.scaling == "0.485,0.456,0.406/0.229,0.224,0.225"
    photo = np.random.default_rng(0).integers(0, 256, (50, 41, 3)).astype(np.float32)
    ours = load_image(npy_bytes(photo), recipe.image_size, **recipe.decoding)
    theirs = np.asarray(converter(photo[np.newaxis]))[0] * DEVIATION * 255 + MEAN * 255
    np.testing.assert_allclose(ours, theirs, atol=1e-3)


def test_what_is_asked_for_goes_before_the_preset(preset):
    from extract.backbones.applications import resizing_for

    name = f"hub:{preset}"
    other = Recipe.for_backbone(name, scaling="none", image_size=40, resizing=resizing_for(name, crop=0.9))
    assert (other.scaling, other.image_size, other.crop) == ("none", (40, 40), 0.9)


def test_an_oblong_size_of_the_preset(folder, backbone):
    converter = keras_hub.layers.ResNetImageConverter(image_size=(32, 48))
    for part in (backbone, converter):
        part.save_to_preset(str(folder / "oblong"))
    assert Recipe.for_backbone(f"hub:{folder / 'oblong'}").image_size == (32, 48)


def test_a_crop_of_the_preset(folder, backbone):
    converter = keras_hub.layers.ResNetImageConverter(
        image_size=(32, 32), interpolation="bicubic", antialias=True, crop_to_aspect_ratio=True
    )
    for part in (backbone, converter):
        part.save_to_preset(str(folder / "cropping"))
    recipe = Recipe.for_backbone(f"hub:{folder / 'cropping'}")
    assert (recipe.resize, recipe.antialias, recipe.crop, recipe.scaling) == ("bicubic", True, 1.0, "none")
    smooth = np.random.default_rng(0).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    photo = np.asarray(Image.fromarray(smooth).resize((120, 90), Image.Resampling.BICUBIC))
    ours = load_image(npy_bytes(photo), recipe.image_size, **recipe.decoding)
    theirs = np.asarray(converter(photo[np.newaxis]))[0]
    assert np.abs(ours - theirs).mean() < 2


def test_tokens_of_a_transformer(folder):
    keras.utils.set_random_seed(1)
    made = keras_hub.models.ViTBackbone(
        image_shape=(32, 32, 3), patch_size=8, num_layers=2, num_heads=2, hidden_dim=24, mlp_dim=48
    )
    made.save_to_preset(str(folder / "tiny_vit"))
    name, pixels = f"hub:{folder / 'tiny_vit'}", drawn_pixels()
    refused(lambda: Recipe.for_backbone(name), "--scaling")  # this preset says nothing of images
    tokens = made.predict(pixels / 255, verbose=0)
    for pooling, expected in (("cls", tokens[:, 0]), ("avg", tokens.mean(axis=1))):
        found = open_engine("openvino", Recipe.for_backbone(name, scaling="0/1", pooling=pooling))(pixels)[0]
        np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


def changed(preset, path, file, change):
    shutil.copytree(preset, path)
    values = json.loads((path / file).read_text())
    change(values)
    (path / file).write_text(json.dumps(values))


REFUSED = {
    "no preset": (lambda preset, path: path.mkdir(), "without config.json"),
    "cut": (
        lambda preset, path: (shutil.copytree(preset, path), (path / "config.json").write_text("{"))[0],
        "as KerasHub wrote it",
    ),
    "a module": (
        lambda preset, path: changed(
            preset, path, "config.json", lambda values: values.update(module="os", registered_name="x>system")
        ),
        "custom object",
    ),
    "a Lambda": (
        lambda preset, path: changed(
            preset, path, "image_converter.json", lambda values: values.update(class_name="Lambda")
        ),
        "Lambda layer, whose code",
    ),
    "another class": (
        lambda preset, path: changed(
            preset,
            path,
            "config.json",
            lambda values: values.update(class_name="None", registered_name="None"),
        ),
        "safe mode",
    ),
    "no weights": (
        lambda preset, path: (shutil.copytree(preset, path), (path / "model.weights.h5").unlink())[0],
        "as many numbers as",
    ),
    "padding": (
        lambda preset, path: changed(
            preset,
            path,
            "image_converter.json",
            lambda values: values["config"].update(pad_to_aspect_ratio=True, crop_to_aspect_ratio=False),
        ),
        "pads images",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_a_backbone(case, preset, tmp_path):
    write, words = REFUSED[case]
    write(preset, tmp_path / "bad")
    refused(
        lambda: Recipe.for_backbone(f"hub:{tmp_path / 'bad'}", scaling="none"), "cannot be a backbone", words
    )


def test_without_keras_hub_the_extra_is_named(preset, monkeypatch, tmp_path):
    import sys

    monkeypatch.setitem(sys.modules, "keras_hub", None)
    shutil.copytree(preset, tmp_path / "other")
    (tmp_path / "other" / "README.md").write_text("not known yet")
    refused(lambda: Recipe.for_backbone(f"hub:{tmp_path / 'other'}"), "the extra hub")


def test_all_the_way_from_the_command_line(preset, tmp_path, monkeypatch):
    """Run, train, predict, fine-tune, export, int8; on another machine the tuned one is whole."""
    monkeypatch.chdir(tmp_path)
    draw_images(tmp_path / "photos", each=40)
    words = ["run", "photos", "--backbone", f"hub:{preset}"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    bundle = trained(tmp_path / "photos.h5")
    assert "blue" in succeed("predict", bundle, "photos/blue/000.png")
    tuned = json.loads(invoke("finetune", bundle, "photos", "--epochs", 1, "--json").stdout)
    assert tuned["parameters"]["trainable"] > 0
    for format, suffix in (("openvino", "xml"), ("keras", "keras")):
        words_of = ("export", tuned["bundle"], "-o", f"exported.{suffix}", "--format", format, "--json")
        assert json.loads(invoke(*words_of).stdout)["largest_difference"] < 1e-5
    pytest.importorskip("nncf")
    done = CliRunner().invoke(app, [*words, "--quantization", "int8", "-o", "int8.h5"])
    assert done.exit_code == 0, done.output
    exact, near = (load_features(file).X for file in ("photos.h5", "int8.h5"))
    assert 0 < np.abs(exact - near).max() < 0.2 * np.abs(exact).max()
    here = invoke("predict", tuned["bundle"], "photos").stdout
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "another machine"))
    assert preset.name in fail("predict", bundle, "photos/blue/000.png")
    assert invoke("predict", tuned["bundle"], "photos").stdout == here
