"""Fine-tuning a small backbone: guards, both loops, killed runs, bad input, and the bundle that comes out."""

import json
import shutil
from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import draw_images

from classify import Bundle, load_features
from classify.finetune import finetune
from data import HeadstartError, open_source
from extract import extract
from extract.recipe import Recipe

FEW = {"epochs": 2, "batch_size": 16, "rows": 40, "learning_rate": 1e-3}


@pytest.fixture(scope="session")
def drawn(tiny_file):
    """The images of `tiny_file`."""
    return open_source(tiny_file.with_name("images"))


def losses(report) -> list[float]:
    return [epoch[name] for epoch in report["history"] for name in ("loss", "val_loss")]


def test_what_comes_out_is_a_bundle_that_everything_takes(tiny_bundle, drawn, tmp_path):
    report = finetune(Bundle.load(tiny_bundle), drawn, tmp_path / "tuned", **FEW)
    tuned, before = Bundle.load(tmp_path / "tuned"), Bundle.load(tiny_bundle)
    assert tuned.recipe.weights != before.recipe.weights
    assert {name for name, *_ in tuned.recipe.differences(before.recipe)} == {"weights"}
    print(report)
