"""Which backend Keras computes with: settled before Keras is imported, since it cannot change later."""

import json
import os
import sys
from importlib.util import find_spec
from pathlib import Path

from data.errors import HeadstartError, unknown_name

BACKENDS = {"tensorflow": "TensorFlow", "jax": "JAX", "torch": "PyTorch"}  # by package: what people call it
_BUILDS = "openvino"  # with this one Keras reads weights and builds graphs, which is all that OpenVINO needs
_VARIABLE = "KERAS_BACKEND"  # Keras reads it when it is imported


def use_backend(name: str | None) -> None:
    """Let Keras compute with a backend in this process and its children; None leaves it as it is.

    Parameters
    ----------
    name : str or None
        A name in `BACKENDS`.

    Raises
    ------
    HeadstartError
        If it is unknown or not installed, or Keras was imported with another before.
    """
    if name is None:
        return
    if name not in BACKENDS:
        raise unknown_name("Keras backend", name, BACKENDS)
    os.environ[_VARIABLE] = name
    found = keras_backend()
    if found != name:
        raise HeadstartError(
            f"Keras computes with {in_words(found)} in this process already",
            f"{in_words(name)}, chosen before Keras is imported",
            f"Keras imported with {in_words(found)}",
            f"set {_VARIABLE}={name} before Python starts",
        )


def keras_backend() -> str:
    """Return the backend that Keras has in this process, or will have once it is imported.

    Raises
    ------
    HeadstartError
        If it is not installed.
    """
    if keras := sys.modules.get("keras"):
        return keras.config.backend()
    name = wanted_backend()
    if not is_installed(name):
        raise HeadstartError(
            "Keras has no backend to compute with",
            in_words(name) if named_backend() else f"one of {', '.join(BACKENDS.values())}",
            "not installed",
            f"pip install {name}, or set {_VARIABLE} to one of {', '.join(BACKENDS)} that is installed",
        )
    if name != _configured():
        os.environ[_VARIABLE] = name  # where Keras would take one that is not installed
    return name


def need_tensorflow(what: str) -> None:
    """Refuse, before its work, what TensorFlow alone can do.

    Parameters
    ----------
    what : str
        That needs it, as the first words of a sentence.

    Raises
    ------
    HeadstartError
        If TensorFlow is not installed, or Keras has another backend in this process.
    """
    found = keras_backend() if is_installed("tensorflow") else None
    if found != "tensorflow":
        raise HeadstartError(
            f"{what} needs TensorFlow",
            "TensorFlow, installed and Keras' backend",
            f"Keras with {in_words(found)}" if found else "not installed",
            f"set {_VARIABLE}=tensorflow before Python starts" if found else "pip install tensorflow",
        )


def computes_with(name: str) -> bool:
    """Tell whether Keras has a backend in this process, or will have; nothing is imported for it."""
    keras = sys.modules.get("keras")
    return is_installed(name) and (keras.config.backend() if keras else wanted_backend()) == name


def named_backend() -> str | None:
    """Return the backend that ``KERAS_BACKEND`` names."""
    return os.environ.get(_VARIABLE) or None


def wanted_backend() -> str:
    """Return what ``KERAS_BACKEND`` or Keras' own settings name; else the first that is installed."""
    configured = _configured()
    if named_backend() or is_installed(configured):
        return configured
    return next(filter(is_installed, (*BACKENDS, _BUILDS)), configured)


def is_installed(package: str) -> bool:
    """Tell whether a package could be imported, without importing it.

    Examples
    --------
    >>> is_installed("numpy"), is_installed("no_such_package")
    (True, False)
    """
    try:
        return find_spec(package) is not None
    except (ImportError, ValueError):  # its import is blocked
        return False


def in_words(backend: str) -> str:
    """Return what people call a backend.

    Examples
    --------
    >>> in_words("torch"), in_words("numpy")
    ('PyTorch', 'numpy')
    """
    return BACKENDS.get(backend, backend)


def _configured() -> str:
    """Return the backend that Keras would take by itself."""
    if named := named_backend():
        return named
    folder = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")
    try:
        return json.loads((folder / "keras.json").read_text()).get("backend", "tensorflow")
    except (OSError, ValueError, AttributeError):
        return "tensorflow"
