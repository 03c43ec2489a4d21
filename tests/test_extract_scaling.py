"""Scalings by name and by numbers."""

import numpy as np
import pytest
from conftest import refused

from extract import Recipe
from extract.backbones.build import scaled
from extract.backbones.scaling import SCALINGS, scaling_of, written


def test_numbers_are_mean_and_deviation_of_values_in_0_to_1():
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 5, 5, 3)).astype(np.float32)
    mean, deviation = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    found = np.asarray(scaled(pixels, "0.485,0.456,0.406/0.229,0.224,0.225"))
    np.testing.assert_allclose(found, (pixels / 255 - mean) / deviation, atol=1e-5)
    np.testing.assert_allclose(found, np.asarray(scaled(pixels, "imagenet_mean_std")), atol=1e-6)


def test_the_same_numbers_are_the_same_recipe():
    one, two = (Recipe("xception", "00", scaling=text) for text in ("0.5/0.50", "0.5,0.5,0.5/.5"))
    assert one == two and one.key == two.key
    assert Recipe.from_json(one.to_json()) == one
    assert all(written(name) == name for name in SCALINGS)


@pytest.mark.parametrize(
    "text", ["", "0.5", "0.5/", "/0.5", "a/b", "1,2/1", "127/128", "0/0", "0/-1", "nan/1", "0.5/0.5/0.5"]
)
def test_what_is_no_scaling(text):
    refused(lambda: scaling_of(text), "scaling")
