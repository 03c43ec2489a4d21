"""Headstart's own files and folders, known by what is in them: they are no images, and ours to replace."""

import hashlib
import json
import os
from pathlib import Path

from data.errors import HeadstartError

SIGNATURE = "Headstart"  # stands in the field `Software` of every picture that we draw
_HDF5 = {
    "headstart": "feature file",
    "headstart part": "part of a run",
    "headstart index": "sharded feature file",
}
AUTO = "headstart automatic run"
FRONTIER = "headstart frontier"
_JSON = {  # a file that says what its folder is, and the name for that
    "bundle.json": ("headstart bundle", "bundle"),
    "benchmark.json": ("headstart benchmark", "benchmark"),
    "run.json": ("headstart run of fine-tuning", "run of fine-tuning"),
    "auto.json": (AUTO, "automatic run"),
    "frontier.json": (FRONTIER, "frontier"),
}
_LEADERBOARD = ("rank", "head", "params", "mean", "deviation", "low", "high", "log_loss", "seconds")
LEADERBOARD = (*_LEADERBOARD, "balanced_accuracy", "training_rows", "rows")
MISTAKES = ("digest", "id", "label", "predicted", "probability", "label_probability")
CORRECTIONS = ("digest", "id", "label")
SUGGESTIONS = (*CORRECTIONS, "predicted", "probability", "runner_up", "margin")
GROUPS = ("digest", "group")
FINDINGS = ("digest", "id", "kind", "score", "label", "suggested", "reason", "evidence")
PREDICTED_IMAGES = ("file", "label", "probability", "error")
PREDICTED_ROWS = ("digest", "id", "label", "probability")
PREDICTIONS = '{"format": "headstart predictions"'  # how they begin as JSON
JOURNAL = '{"features": "'  # how each line of a sweep's journal begins
REPORT = "<!doctype html>\n<!-- a report that Headstart wrote -->"  # how each page begins
CARD = "headstart export"  # stands in the card beside an exported model
_TEXTS = {
    **{(",".join(columns) + "\n").encode(): "leaderboard" for columns in (_LEADERBOARD, LEADERBOARD)},
    (",".join(MISTAKES) + "\n").encode(): "list of mistakes",
    (",".join(CORRECTIONS) + "\n").encode(): "list of corrections",
    (",".join(SUGGESTIONS) + "\n").encode(): "list of suggestions",
    (",".join(GROUPS) + "\n").encode(): "list of groups",
    (",".join(FINDINGS) + "\n").encode(): "list of findings",
    JOURNAL.encode(): "journal of a sweep",
    REPORT.encode(): "report",
    PREDICTIONS.encode(): "list of predictions",
    **{
        (",".join(columns) + more).encode(): "list of predictions"
        for columns in (PREDICTED_IMAGES, PREDICTED_ROWS)
        for more in ("\n", ",unknown", ",label_2,", ",labels")  # with what was asked for
    },
}
_LARGEST_CARD = 10_000_000  # bytes: a file of more is no card
_RUN = {"settings", "start", "epochs"}  # keys of the state of such a run of version 0.1
_PICTURES = (".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
_HEAD = 512  # bytes in which every format but WebP says who made the picture


def kind_of_output(path: str | Path) -> str | None:
    """Return what of Headstart's own a file or a folder is; None where it is nothing of ours.

    Names alone decide nothing: a folder ``bundle`` without a bundle in it is a stranger's.

    Returns
    -------
    str or None
        ``bundle``, ``feature file``, ``sharded feature file``, ``part of a run``, ``parts of a run``,
        ``benchmark``, ``run of fine-tuning``, ``figure``, ``leaderboard``, ``list of mistakes``, ``list of
        corrections``, ``list of findings``, ``list of suggestions``, ``list of groups``, ``list of
        predictions``, ``journal of a sweep``, ``report``, ``automatic run``, ``frontier``,
        ``exported model`` (a file or folder as the card beside it says) or ``export card``.

    Examples
    --------
    >>> kind_of_output("no such file") is None
    True
    """
    path = Path(path)
    try:
        return _kind_of_folder(path) if path.is_dir() else _kind_of_file(path)
    except HeadstartError:
        raise
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
    if (folder / "saved_model.pb").is_file() and is_exported(folder):
        return "exported model"
    with os.scandir(folder) as entries:
        first = next((entry.path for entry in entries if entry.name.endswith(".h5")), None)
    return "parts of a run" if first and _kind_of_hdf5(first) == "part of a run" else None


def _kind_of_file(path: Path) -> str | None:
    if not path.is_file():
        return None  # a pipe would wait for whoever writes to it
    with open(path, "rb") as file:
        head = file.read(200)  # more than any of the lines below
    if head.startswith(b"\x89HDF\r\n\x1a\n"):
        return _kind_of_hdf5(path)
    for begin, kind in _TEXTS.items():
        if head.startswith(begin):
            return kind
    if path.suffix == ".json" and head.startswith(b"{") and path.stat().st_size < _LARGEST_CARD:
        return "export card" if _json_of(path).get("written_as") == CARD else None
    if is_exported(path):
        return "exported model"
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


def card_of(path: Path) -> Path:
    """Return where the card of an exported model is: beside it."""
    return path.with_name(f"{path.name}.json")


def is_exported(path: Path) -> bool:
    """Tell whether every file of an exported model is the one that the card beside it names."""
    files = exported_files(path)
    return bool(files) and all(files.values())


def exported_files(path: Path) -> dict[str, bool]:
    """Return the files that the card of a model names, and whether each is as it was written.

    One that is missing counts as such: nothing is lost where it is written again.
    """
    card = _json_of(card_of(path))
    named = card.get("files") if card.get("written_as") == CARD else None
    if not isinstance(named, dict):
        return {}
    return {name: _is_as_written(path.parent / name, digest) for name, digest in named.items()}


def _is_as_written(path: Path, digest: str) -> bool:
    if not path.exists():
        return True
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == digest


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
