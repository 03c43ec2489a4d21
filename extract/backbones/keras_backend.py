"""Which backend Keras computes with: settled before Keras is imported, since it cannot change later."""

import json
import logging
import os
import sys
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from data.errors import HeadstartError, unknown_name
from data.text import with_type

BACKENDS = {"tensorflow": "TensorFlow", "jax": "JAX", "torch": "PyTorch"}  # by package: what people call it
_BUILDS = "openvino"  # with this one Keras reads weights and builds graphs, which is all that OpenVINO needs
_VARIABLE = "KERAS_BACKEND"  # Keras reads it when it is imported
_log = logging.getLogger("headstart.backbones")


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

    The first is taken that can really be imported, and is imported for that, as Keras would do; one
    that is installed and broken is told.

    Raises
    ------
    HeadstartError
        If there is none.
    """
    if keras := sys.modules.get("keras"):
        return keras.config.backend()
    broken: dict[str, str] = {}
    for name in _candidates():
        if name != _BUILDS and (reason := import_failure(name)):
            broken[name] = reason
            continue
        if broken:
            _log.warning("warning: %s; Keras computes with %s", _told(broken), in_words(name))
        if name != _configured():
            os.environ[_VARIABLE] = name  # where Keras would take one that does not work
        return name
    raise _no_backend(broken)


def _candidates() -> list[str]:
    """Return the backends that are installed and may be taken, the wanted one first."""
    names = [_configured()] if named_backend() else [_configured(), *BACKENDS, _BUILDS]
    return list(filter(is_installed, dict.fromkeys(names)))


def _no_backend(broken: Mapping[str, str]) -> HeadstartError:
    name = next(iter(broken), _configured())
    todo = f"pip install {'--force-reinstall ' if broken else ''}{name}"
    return HeadstartError(
        "Keras has no backend to compute with",
        in_words(name) if named_backend() else f"one of {', '.join(BACKENDS.values())}",
        _told(broken) if broken else "not installed",
        f"{todo}, or set {_VARIABLE} to one of {', '.join(BACKENDS)} that works",
    )


def _told(broken: Mapping[str, str]) -> str:
    return ", ".join(f"{in_words(name)} cannot be imported ({reason})" for name, reason in broken.items())


@cache
def import_failure(package: str) -> str:
    """Return why a package cannot be imported, in one line; nothing where it can be, and then is.

    Examples
    --------
    >>> import_failure("numpy"), import_failure("no_such_package")
    ('', "ModuleNotFoundError: No module named 'no_such_package'")
    """
    try:
        import_module(package)
    except Exception as error:  # a broken package raises anything
        return with_type(error)
    return ""


def need_tensorflow(what: str) -> None:
    """Refuse, before its work, what TensorFlow alone can do.

    Parameters
    ----------
    what : str
        That needs it, as the first words of a sentence.

    Raises
    ------
    HeadstartError
        If TensorFlow is not installed or cannot be imported, or Keras has another backend in this process.
    """
    reason = import_failure("tensorflow") if is_installed("tensorflow") else "not installed"
    if not reason and (found := keras_backend()) != "tensorflow":
        reason, todo = f"Keras with {in_words(found)}", f"set {_VARIABLE}=tensorflow before Python starts"
    else:
        again = "--force-reinstall " if reason != "not installed" else ""
        todo = f"pip install {again}tensorflow"
    if reason:
        raise HeadstartError(
            f"{what} needs TensorFlow", "TensorFlow, installed and Keras' backend", reason, todo
        )


def named_backend() -> str | None:
    """Return the backend that ``KERAS_BACKEND`` names."""
    return os.environ.get(_VARIABLE) or None


def wanted_backend() -> str:
    """Return what ``KERAS_BACKEND`` or Keras' own settings name; else the first that is installed.

    Nothing is imported for it: `keras_backend` finds out whether it works.
    """
    return next(iter(_candidates()), _configured())


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
