"""Headstart's own files and folders, known by what is in them: they are no images, and ours to replace."""

import json
import os
from pathlib import Path

SIGNATURE = "Headstart"  # stands in the field `Software` of every picture that we draw
_HDF5 = {
    "headstart": "feature file",
    "headstart part": "part of a run",
    "headstart index": "sharded feature file",
}
_JSON = {  # a file that says what its folder is, and the name for that
    "bundle.json": ("headstart bundle", "bundle"),
    "benchmark.json": ("headstart benchmark", "benchmark"),
    "run.json": ("headstart run of fine-tuning", "run of fine-tuning"),
}
_RUN = {"settings", "start", "epochs"}  # keys of the state of such a run of version 0.1
_PICTURES = (".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
_HEAD = 512  # bytes in which every format but WebP says who made the picture


def cache_folder() -> Path:
    """Return our cache: ``$HEADSTART_CACHE``, ``$XDG_CACHE_HOME/headstart`` or ``~/.cache/headstart``."""
    if own := os.environ.get("HEADSTART_CACHE"):
        return Path(own)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "headstart"


def kind_of_output(path: str | Path) -> str | None:
    """Return what of Headstart's own a file or a folder is; None where it is nothing of ours.

    Names alone decide nothing: a folder ``bundle`` without a bundle in it is a stranger's.

    Returns
    -------
    str or None
        ``bundle``, ``feature file``, ``sharded feature file``, ``part of a run``, ``parts of a
        run``, ``benchmark``, ``run of fine-tuning`` or ``figure``.

    Examples
    --------
    >>> kind_of_output("no such file") is None
    True
    """
    path = Path(path)
    try:
        return _kind_of_folder(path) if path.is_dir() else _kind_of_file(path)
    except (OSError, ValueError):
        return None


def _kind_of_folder(folder: Path) -> str | None:
    for name, (form, kind) in _JSON.items():
        if _json_of(folder / name).get("format") == form:
            return kind
    if _json_of(folder / "run.json").keys() >= _RUN:
        return "run of fine-tuning"
    if (folder / "index.h5").is_file():
        return _kind_of_hdf5(folder / "index.h5")
    with os.scandir(folder) as entries:
        first = next((entry.path for entry in entries if entry.name.endswith(".h5")), None)
    return "parts of a run" if first and _kind_of_hdf5(first) == "part of a run" else None


def _kind_of_file(path: Path) -> str | None:
    with open(path, "rb") as file:
        head = file.read(8)
    if head == b"\x89HDF\r\n\x1a\n":
        return _kind_of_hdf5(path)
    return "figure" if drawn_by_us(path) else None


def drawn_by_us(path: str | Path) -> bool:
    """Tell whether a file is a picture that we drew; of others little more than the head is read.

    Examples
    --------
    >>> drawn_by_us("no such file")
    False
    """
    if os.path.splitext(path)[1].lower() not in _PICTURES:
        return False
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        head = os.read(handle, _HEAD)
    except OSError:
        return False
    finally:
        os.close(handle)
    exif_at_the_end = head[8:16] == b"WEBPVP8X" and head[20:] and head[20] & 8
    return bool(SIGNATURE.encode() in head or exif_at_the_end) and _software(path).startswith(SIGNATURE)


def _kind_of_hdf5(path: str | Path) -> str | None:
    import h5py

    try:
        with h5py.File(path) as file:
            return _HDF5.get(file.attrs.get("format"))
    except (OSError, RuntimeError, TypeError, KeyError):
        return None


def _json_of(path: Path) -> dict:
    try:
        values = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}


def _software(path: str | Path) -> str:
    """Return the program that a picture says made it: its PNG text, or the tag of EXIF and TIFF."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            text = image.info.get("Software") or image.getexif().get(0x0131) or ""
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError):
        return ""
    return text if isinstance(text, str) else ""
