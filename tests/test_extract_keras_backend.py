"""Which backend Keras computes with, and the Keras engine on others than TensorFlow."""

import os
import subprocess
import sys

import pytest
from conftest import assert_four_parts

from data import HeadstartError
from extract.backbones import keras_backend as chosen


@pytest.fixture
def told(monkeypatch, tmp_path):
    """Set what is installed, what KERAS_BACKEND names and what Keras' own file says."""

    def tell(installed=(), variable=None, file=None):
        monkeypatch.setattr(chosen, "is_installed", lambda name: name in installed)
        monkeypatch.setenv("KERAS_HOME", str(tmp_path))
        monkeypatch.setenv("KERAS_BACKEND", variable or "")
        if file is not None:
            (tmp_path / "keras.json").write_text(file)

    return tell


@pytest.mark.parametrize(
    ("installed", "variable", "file", "wanted"),
    [
        (("tensorflow", "jax"), None, None, "tensorflow"),
        (("tensorflow", "jax"), "jax", '{"backend": "tensorflow"}', "jax"),
        (("tensorflow", "jax"), None, '{"backend": "jax"}', "jax"),
        (("tensorflow",), None, '{"backend": "jax"}', "tensorflow"),
        (("torch", "jax"), None, '{"backend": "tensorflow"}', "jax"),
        (("torch",), None, "{", "torch"),
        (("torch",), "jax", None, "jax"),
        ((), None, "[]", "tensorflow"),
    ],
)
def test_what_is_named_is_taken_and_else_what_is_installed(told, installed, variable, file, wanted):
    told(installed, variable, file)
    assert chosen.wanted_backend() == wanted


@pytest.mark.parametrize(
    ("variable", "words"), [("jax", "pip install jax"), (None, "TensorFlow, JAX, PyTorch")]
)
def test_a_backend_that_is_not_installed_is_told(told, monkeypatch, variable, words):
    monkeypatch.delitem(sys.modules, "keras", raising=False)
    told((), variable)
    with pytest.raises(HeadstartError, match=words) as caught:
        chosen.keras_backend()
    assert_four_parts(str(caught.value))


def test_keras_imported_with_another_is_told(monkeypatch):
    import keras

    other = next(name for name in chosen.BACKENDS if name != keras.config.backend())
    monkeypatch.setenv("KERAS_BACKEND", keras.config.backend())
    with pytest.raises(HeadstartError, match=f"set KERAS_BACKEND={other} before Python starts"):
        chosen.use_backend(other)
    with pytest.raises(HeadstartError, match="expected: jax, tensorflow, torch"):
        chosen.use_backend("jaxx")


def test_what_is_installed_takes_the_place_of_keras_own_choice():
    """Keras itself takes TensorFlow where nothing is named, installed or not."""
    code = """
import os, sys
sys.modules["tensorflow"] = None
from extract.backbones.keras_backend import is_installed, keras_backend
assert not is_installed("tensorflow")
if not is_installed("jax"):
    sys.exit("no jax")
print(keras_backend(), os.environ["KERAS_BACKEND"])
import keras
print(keras.config.backend(), keras_backend())
"""
    environment = {"KERAS_HOME": "/nowhere", "KERAS_BACKEND": ""}
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        check=False,
    )
    if "no jax" in done.stderr:
        pytest.skip("needs JAX")
    assert done.stdout.split() == ["jax"] * 4, done.stderr
