"""Resizing, antialiasing and cropping against the libraries whose images nets were trained on."""

import numpy as np
import pytest
from conftest import refused
from PIL import Image

from data.images import load_image
from data.resize import FILTERS, Resizing, cubic, fitted
from data.sources.arrays import npy_bytes
from extract import Recipe

SIZES = [
    ((37, 53), (20, 31)),
    ((300, 400), (150, 150)),
    ((20, 24), (71, 96)),
    ((5, 5), (2, 9)),
    ((1, 1), (4, 4)),
]
_PILLOWS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


def drawn(size):
    return np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)


@pytest.mark.parametrize(("given", "wanted"), SIZES)
def test_cubic_is_tensorflows_bit_for_bit(given, wanted):
    import tensorflow as tf

    for pixels in (drawn(given), drawn(given).astype(np.float32) / 3):
        assert np.array_equal(
            cubic(pixels, wanted), tf.image.resize(pixels, wanted, method="bicubic").numpy()
        )


@pytest.mark.parametrize(("given", "wanted"), SIZES)
@pytest.mark.parametrize("filter", FILTERS)
def test_antialias_is_pillows_bit_for_bit(filter, given, wanted):
    pixels = drawn(given)
    expected = Image.fromarray(pixels).resize(wanted[::-1], _PILLOWS[filter])
    found = fitted(pixels, wanted, Resizing(filter, antialias=True))
    assert found.dtype == np.float32 and np.array_equal(found, np.asarray(expected))


def torchvisions(pixels, side, share):
    """Resize and cut out the centre as torchvision's transforms do to an image of Pillow."""
    image, short = Image.fromarray(pixels), int(side / share)
    sides = [short if each == min(image.size) else int(short * each / min(image.size)) for each in image.size]
    image = image.resize(sides, Image.Resampling.BICUBIC)
    left, top = (round((each - side) / 2.0) for each in image.size)
    return np.asarray(image.crop((left, top, left + side, top + side)))


@pytest.mark.parametrize("given", [(300, 400), (401, 299), (224, 224), (60, 333)])
@pytest.mark.parametrize(("side", "share"), [(224, 0.875), (64, 0.9), (224, 1.0)])
def test_crop_is_torchvisions(given, side, share):
    pixels = drawn(given)
    found = fitted(pixels, (side, side), Resizing("bicubic", antialias=True, crop=share))
    assert np.array_equal(found, torchvisions(pixels, side, share))


def test_a_crop_of_another_shape_covers_it():
    how = Resizing(crop=0.5)
    for given in ((300, 400), (400, 300), (50, 50)):
        whole = how.whole_size(given, (40, 100))
        assert whole[0] >= 80 and whole[1] >= 200 and (whole[0] == 80 or whole[1] == 200)
        assert fitted(drawn(given), (40, 100), how).shape == (40, 100, 3)


def test_values_that_are_not_whole_are_rounded_before_pillow_sees_them():
    pixels = np.array([[[0.4, 0.6, 254.7]]], np.float32)
    assert fitted(pixels, (1, 1), Resizing(antialias=True)).tolist() == [[[0, 1, 255]]]


def test_a_recipe_says_which_pixels_its_backbone_sees():
    data = npy_bytes(drawn((300, 400)))
    recipe = Recipe("xception", "00", image_size=(64, 64), resize="bicubic", antialias=True, crop=0.875)
    expected = torchvisions(drawn((300, 400)), 64, 0.875)
    assert np.array_equal(load_image(data, recipe.image_size, **recipe.decoding), expected)
    plain = Recipe("xception", "00", image_size=(64, 64))
    assert np.array_equal(load_image(data, (64, 64), **plain.decoding), load_image(data, (64, 64)))


@pytest.mark.parametrize("crop", [-0.1, 1.01, "0.9", True, float("nan")])
def test_what_is_no_crop(crop):
    refused(lambda: Recipe("xception", "00", crop=crop), "no share")
    refused(lambda: Resizing(crop=crop), "no share")


def test_what_is_no_filter():
    refused(lambda: Resizing("lanczos"), "unknown filter")
