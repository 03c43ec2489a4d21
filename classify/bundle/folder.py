"""A bundle as a folder: what is written, how it is read, and what is refused. Nothing in it is run."""

import json
import os
from collections.abc import Callable, Iterable
from copy import copy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from classify.bundle.detector import Detector
from classify.bundle.manifest import (
    CONFORMAL,
    DETECTOR,
    FILES,
    MANIFEST,
    SEEN,
    TUNED_WEIGHTS,
    files_of,
    from_text,
    read_manifest,
    to_text,
    write_manifest,
)
from classify.bundle.renamed import stored_head
from classify.bundle.trees import check_trees, refuse_other_trees, trusted_types
from classify.features.matrix import FeatureSet
from classify.head import Head
from classify.scores.conformal import Conformal
from data.errors import HeadstartError, NotFoundError
from data.output.checks import check_names
from data.output.disk import writing
from data.output.ours import kind_of_output
from data.output.swap import check_swap, recover, swapped
from data.text import with_type
from extract.backbones.keras_backend import keras_backend
from extract.model_files.carried import GRAPH_FILE
from extract.recipe import EngineInfo, Recipe

T = TypeVar("T")
_PLAIN = ("name", "class_names", "temperature", "scores", "provenance")


@dataclass(frozen=True)
class BundleContents:
    """All that a folder keeps of a bundle.

    Attributes
    ----------
    head : scikit-learn classifier
        Its classes are indices into `class_names`.
    name : str
        Its name in `classify.heads.table.HEADS`.
    class_names : tuple of str
    feature_sets : tuple of FeatureSet
        How its features are computed, side by side in this order.
    scores : dict
        Of the training and validation rows, as `classify.scores.evaluate.evaluate` returns them.
    provenance : dict
        Rows of each split, versions; corrections of labels, as `classify.features.applied.Applied` has them.
    temperature : float
        Of Guo et al. (2017): the logarithms of the head's probabilities are divided by it.
    detector : Detector or None
        Tells which images are unlike the training images.
    seen : ndarray of uint64, shape (M,)
        The first eight bytes of the digests of the training images, sorted.
    conformal : Conformal or None
        Tells sets of labels that hold the truth with a wanted coverage.
    """

    head: Head = field(repr=False)
    name: str
    class_names: tuple[str, ...]
    feature_sets: tuple[FeatureSet, ...]
    scores: dict = field(repr=False)
    provenance: dict = field(repr=False)
    temperature: float = 1.0
    detector: Detector | None = field(default=None, repr=False, compare=False)
    seen: np.ndarray = field(default_factory=lambda: np.empty(0, "<u8"), repr=False, compare=False)
    conformal: Conformal | None = field(default=None, repr=False, compare=False)


def write_bundle(folder: Path, bundle: BundleContents) -> None:
    """Write a bundle into a new folder or an empty one, or in the place of a bundle, as a whole.

    What else lies in that folder stays in it.

    Raises
    ------
    HeadstartError
        If the folder cannot take it; what was there is then as it was.
    """
    check_output(folder)
    with writing(folder, "or choose another -o"), swapped(folder, lambda: _files_of(folder)) as new:
        _write(new, bundle)


def read_bundle(
    folder: Path, found: Callable[[tuple[FeatureSet, ...]], object] | None = None
) -> BundleContents:
    """Return what a folder keeps of a bundle.

    Parameters
    ----------
    folder : Path
    found : callable, optional
        Called with the feature sets before the head is read, which takes as long as scikit-learn's import.

    Raises
    ------
    HeadstartError
        If there is no such folder, or it is no bundle, of another version, or damaged.
    """

    def contents(values: dict) -> BundleContents:
        read = {name: values[name] for name in _PLAIN} | {"class_names": tuple(values["class_names"])}
        feature_sets = tuple(_feature_set(each, folder) for each in values["feature_sets"])
        if found:
            found(feature_sets)
        return BundleContents(
            **read,
            feature_sets=feature_sets,
            head=load_head(folder, values["head"]),
            detector=Detector.load(folder / DETECTOR) if values["detector"] else None,
            seen=np.load(folder / SEEN, allow_pickle=False) if values["seen"] else np.empty(0, "<u8"),
            conformal=_load_conformal(folder, values["conformal"]),
        )

    return read_as(folder, contents)


def read_as(folder: Path, make: Callable[[dict], T]) -> T:
    """Return what is made of the values of ``bundle.json``.

    Raises
    ------
    HeadstartError
        As `read_bundle` raises it, whatever `make` raises.
    """
    recover(folder)
    try:
        return make(read_manifest(folder))
    except HeadstartError:
        raise
    except Exception as error:  # zip, JSON, Keras and skops raise anything on damaged files
        raise _no_bundle(folder, error) from error


def _no_bundle(folder: Path, error: Exception) -> HeadstartError:
    expected = "a folder that `python -m classify train` wrote"
    todo = "check the path, or train one: python -m classify train FILE.h5"
    if isinstance(error, FileNotFoundError) and not os.path.lexists(folder):
        return NotFoundError(f"{str(folder)!r} is not a bundle", expected, "a path that does not exist", todo)
    received = with_type(error)
    if isinstance(error, FileNotFoundError) and not os.path.lexists(folder / MANIFEST):
        received = f"a folder without a {MANIFEST}"
    elif isinstance(error, NotADirectoryError):
        received = "a file"
    return HeadstartError(f"{str(folder)!r} is not a bundle, or is damaged", expected, received, todo)


def _write(folder: Path, bundle: BundleContents) -> None:
    values: dict[str, Any] = {name: getattr(bundle, name) for name in _PLAIN}
    values["feature_sets"] = [_described(each) for each in bundle.feature_sets]
    values |= {"head": _save_head(bundle.head, folder)}
    values |= {"detector": bundle.detector is not None, "seen": len(bundle.seen) > 0}
    values |= {"conformal": bundle.conformal and bundle.conformal.origin}
    for each in bundle.feature_sets:
        if each.weights.get("name") == TUNED_WEIGHTS:
            each.copy_weights(folder / TUNED_WEIGHTS)
    values["graph"] = (folder / GRAPH_FILE).is_file()
    if bundle.detector is not None:
        bundle.detector.save(folder / DETECTOR)
    if len(bundle.seen):
        np.save(folder / SEEN, bundle.seen)
    if bundle.conformal is not None:
        np.save(folder / CONFORMAL, bundle.conformal.scores)
    write_manifest(folder, values)


def _described(each: FeatureSet) -> dict:
    values = {name: getattr(each, name) for name in _OF_SET} | {"engine": each.engine.to_dict()}
    values["recipe"] = json.loads(each.recipe.to_json())
    return values | {"probe": {layer: to_text(feature) for layer, feature in each.probe.items()}}


def _feature_set(values: dict, folder: Path) -> FeatureSet:
    plain = {name: values[name] for name in _OF_SET}
    plain |= {name: tuple(plain[name]) for name in ("layers", "widths")}
    plain |= {"engine": EngineInfo.from_dict(plain["engine"])}
    probe = {layer: from_text(text) for layer, text in values["probe"].items()}
    tuned = folder / TUNED_WEIGHTS
    return FeatureSet(
        Recipe.from_json(json.dumps(values["recipe"])),
        **plain,
        probe=probe,
        weights_file=tuned if tuned.is_file() else None,
    )


def _load_conformal(folder: Path, origin: str | None) -> Conformal | None:
    if origin is None:
        return None
    scores = np.load(folder / CONFORMAL, allow_pickle=False)
    if scores.ndim != 1 or not (np.diff(scores) >= 0).all():
        raise ValueError("scores of label sets that are not sorted numbers")
    return Conformal(scores, origin)


_OF_SET = ("layers", "widths", "weights", "content_digest", "engine")
_NOT_KEPT = ("build", "callbacks")  # functions and objects of the user's, done with when training ends


def check_output(folder: Path) -> None:
    """Raise if a bundle cannot be written to this folder.

    Raises
    ------
    HeadstartError
        If it exists, is not empty and no bundle, holds strangers' files with names of a bundle's,
        or cannot be written.
    """
    check_swap(folder, "bundle")
    ours = _files_of(folder)
    check_names(
        folder, "bundle", [name for name in FILES if name not in ours and os.path.lexists(folder / name)]
    )


def _files_of(folder: Path) -> set[str]:
    """Return the files that the bundle in a folder names; none where it is no bundle."""
    if not is_bundle(folder):
        return set()
    try:
        return files_of(read_manifest(folder, verify=False))  # a damaged one may be replaced
    except (KeyError, TypeError, AttributeError):
        return {MANIFEST}


def is_bundle(folder: Path) -> bool:
    """Tell whether a folder holds a bundle."""
    recover(folder)
    return kind_of_output(folder) == "bundle"


def _save_head(head: Head, folder: Path) -> dict:
    """Write the head and return how to read it again."""
    if hasattr(head, "model_"):
        head.model_.save(folder / "head.keras")
        params = {name: value for name, value in head.get_params().items() if name not in _NOT_KEPT}
        width = head.n_features_in_
        return {"file": "head.keras", "params": params, "classes": head.classes_.tolist(), "width": width}
    from skops.io import dump

    refuse_other_trees(head)
    if any(head.get_params().get(name) for name in _NOT_KEPT):
        head = _without(head, _NOT_KEPT)
    dump(head, folder / "head.skops")
    todo = "make the bundle of a head of scikit-learn; of a search, of its best_estimator_"
    _check_types((folder / "head.skops").read_bytes(), "this head", todo)
    return {"file": "head.skops"}


def _without(head: Head, names: Iterable[str]) -> Head:
    """Return a copy of a fitted head with some parameters as they are by default."""
    bare = copy(head)
    defaults = type(head)().get_params()
    return bare.set_params(**{name: defaults[name] for name in names})


def load_head(folder: Path, values: dict) -> Head:
    """Read the head of a bundle by what its ``bundle.json`` says of it."""
    path = folder / values["file"]
    if values["file"] == "head.keras":
        keras_backend()
        import keras

        from classify.heads.keras_head import KerasHead

        model = keras.saving.load_model(path, compile=False, safe_mode=True)
        return KerasHead.from_model(np.array(values["classes"]), model, values["width"], **values["params"])
    from skops.io import loads

    stored = stored_head(path)
    _check_types(stored, f"the head in {str(folder)!r}", "use bundles that `python -m classify train` wrote")
    head = loads(stored, trusted=trusted_types())
    check_trees(head)
    return head


def _check_types(stored: bytes, name: str, todo: str) -> None:
    from skops.io import get_untrusted_types

    unknown = sorted(set(get_untrusted_types(data=stored)) - set(trusted_types()))
    if unknown:
        raise HeadstartError(
            f"{name} holds types that are not trusted",
            "types of scikit-learn and numpy",
            ", ".join(unknown),
            todo,
        )
