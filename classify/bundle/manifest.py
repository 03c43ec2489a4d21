"""``bundle.json``: what stands in it, in which version, and the digests by which damage is found."""

import base64
import hashlib
import json
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from data.errors import HeadstartError
from data.text import some_of
from extract.backbones.download import file_hash
from extract.model_files.carried import GRAPH_FILE

FORMAT, FORMAT_VERSION = "headstart bundle", 4
MANIFEST = "bundle.json"
DETECTOR, SEEN, CONFORMAL = "detector.npz", "seen.npy", "conformal.npy"
TUNED_WEIGHTS = "backbone.weights.h5"  # of a fine-tuned backbone: they move with their bundle
FILES = (MANIFEST, "head.skops", "head.keras", DETECTOR, SEEN, CONFORMAL, TUNED_WEIGHTS, GRAPH_FILE)
_OTHERWISE_KNOWN = {MANIFEST, TUNED_WEIGHTS}  # by its own digest; by that in the recipe, where they are used


def write_manifest(folder: Path, values: dict) -> None:
    """Write ``bundle.json`` into a folder that holds all other files of the bundle, with their digests.

    Parameters
    ----------
    folder : Path
    values : dict
        What it says besides its format, version and ``digests``.
    """
    values = {"format": FORMAT, "format_version": FORMAT_VERSION, **values}
    values["digests"] = _digests(folder, _checked_files(values))
    values = json.loads(json.dumps(values, default=_plain_number))
    values["digests"][MANIFEST] = _own_digest(values)
    (folder / MANIFEST).write_text(json.dumps(values, indent=2, ensure_ascii=False), "utf-8")


def read_manifest(folder: Path, *, verify: bool = True) -> dict:
    """Return what ``bundle.json`` says, as one of this version.

    Parameters
    ----------
    folder : Path
    verify : bool
        Whether all files must be those that were written; before version 4 nothing tells.

    Raises
    ------
    HeadstartError
        If it is of another version, or a file is not the one that was written.
    """
    values = json.loads((folder / MANIFEST).read_text("utf-8"))
    version = values.get("format_version")
    if values.get("format") != FORMAT or version not in (*_MIGRATIONS, FORMAT_VERSION):
        raise HeadstartError(
            f"{str(folder)!r} is a bundle of another version",
            f"{FORMAT} {FORMAT_VERSION}",
            f"{values.get('format')} {version}",
            "install the version of Headstart that wrote it",
        )
    if verify and (version == FORMAT_VERSION or "digests" in values):
        _check_digests(folder, values)
    for older in range(version, FORMAT_VERSION):
        values = _MIGRATIONS[older](values)
    return values


def files_of(values: dict) -> set[str]:
    """Return the files that ``bundle.json`` names, itself too; never others than `FILES`."""
    kept = {DETECTOR: values["detector"], SEEN: values["seen"], CONFORMAL: values["conformal"]}
    kept[GRAPH_FILE] = values.get("graph")  # of a model of the user's, fine-tuned
    names = {MANIFEST, values["head"]["file"], *(name for name, is_kept in kept.items() if is_kept)}
    return (names | {each["weights"]["name"] for each in values["feature_sets"]}).intersection(FILES)


def _checked_files(values: dict) -> list[str]:
    return sorted(files_of(values) - _OTHERWISE_KNOWN)


def _digests(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """Return the sha256 of files; nothing for one that is missing."""
    return {name: file_hash(folder / name, "sha256") if (folder / name).is_file() else "" for name in names}


def _own_digest(values: dict) -> str:
    """Return the sha256 of all that ``bundle.json`` says but for this digest, as canonical JSON."""
    others = {name: digest for name, digest in values["digests"].items() if name != MANIFEST}
    text = json.dumps({**values, "digests": others}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _check_digests(folder: Path, values: dict) -> None:
    """Raise if a file is not the one that was written; ``bundle.json``, which names the others, first."""
    stored = values["digests"]
    wrong = [MANIFEST]
    if stored.get(MANIFEST) == _own_digest(values):
        found = _digests(folder, _checked_files(values))
        wrong = [name for name, digest in found.items() if not digest or stored.get(name) != digest]
    if wrong:
        raise HeadstartError(
            f"the bundle {str(folder)!r} is damaged",
            f"files as they were written, by the digests in {MANIFEST}",
            f"changed or missing: {some_of(wrong)}",
            "copy the bundle again, or make it again: python -m classify "
            + ("finetune BUNDLE SOURCE" if GRAPH_FILE in stored else "train FILE.h5"),
        )


def _of_version_1(values: dict) -> dict:
    """Turn a bundle of one recipe, without a detector, into one of version 2."""
    probe, layers = values["probe"], values["layers"]
    own = {name: values[name] for name in ("recipe", "layers", "weights", "probe")}
    own["widths"] = [len(from_text(probe[layer])) for layer in layers]
    own |= {name: values["provenance"].pop(name) for name in ("content_digest", "engine")}
    return values | {"feature_sets": [own], "temperature": 1.0, "detector": False, "seen": False}


def _of_version_2(values: dict) -> dict:
    """Turn a bundle that tells no sets of labels into one of version 3."""
    return values | {"conformal": None}


def _of_version_3(values: dict) -> dict:
    """Turn a bundle without digests into one of this version."""
    return values | {"digests": {}}


_MIGRATIONS: dict[int, Callable[[dict], dict]] = {
    1: _of_version_1,
    2: _of_version_2,
    3: _of_version_3,
}  # from a version to the next one


def to_text(feature: np.ndarray) -> str:
    """Return a feature as it stands in JSON.

    Examples
    --------
    >>> from_text(to_text(np.array([0.5, 1.0]))).tolist()
    [0.5, 1.0]
    """
    return base64.b64encode(feature.astype("<f4").tobytes()).decode()


def from_text(text: str) -> np.ndarray:
    """Return the feature of which `to_text` made a text, as float32 of shape (D,)."""
    return np.frombuffer(base64.b64decode(text), "<f4")


def _plain_number(value: np.generic) -> object:
    """Turn a number of numpy, as a grid search leaves in parameters, into one of Python."""
    return value.item()
