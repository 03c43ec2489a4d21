"""What training saves: the head, its classes, the recipe of its features, its scores."""

import base64
import json
import os
import shutil
import tempfile
from collections.abc import Iterable
from copy import copy
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from classify.evaluate import evaluate, spread
from classify.features import Features
from classify.heads import TRUSTED_TYPES, check_trees
from data.errors import HeadstartError
from data.splits import SPLIT_NAMES
from extract.recipe import Recipe
from extract.survey import refuse_other_recipe
from extract.weights import copy_weights, find_weights, known_weights

FORMAT, FORMAT_VERSION = "headstart bundle", 1
TUNED_WEIGHTS = "backbone.weights.h5"  # of a fine-tuned backbone: they move with their bundle
_RECORDED = ("headstart", "numpy", "scikit-learn", "keras", "tensorflow", "skops")


@dataclass(frozen=True)
class Bundle:
    """A trained head with all that is needed to use it; make one with `Bundle.of`.

    Attributes
    ----------
    head : scikit-learn classifier
        Its classes are indices into `class_names`.
    name : str
        Its name in `classify.heads.HEADS`.
    class_names : tuple of str
    recipe : Recipe
        Of the features it was trained on.
    layers : tuple of str
        Which layers of the recipe it takes side by side.
    weights : dict
        Name and origin of the backbone's weights.
    scores : dict
        Of the training and validation rows, as `classify.evaluate.evaluate` returns them.
    provenance : dict
        Digest of the feature file, the engine that computed it, rows of each split, versions.
    probe : dict of str to ndarray
        The feature of `extract.engines.probe_image` by layer, which proves that the features
        of new images are computed as those of the training images were.
    """

    head: object = field(repr=False)
    name: str
    class_names: tuple[str, ...]
    recipe: Recipe
    layers: tuple[str, ...]
    weights: dict
    scores: dict = field(repr=False)
    provenance: dict = field(repr=False)
    probe: dict[str, np.ndarray] = field(repr=False)

    @classmethod
    def of(cls, head, features: Features, name: str | None = None) -> "Bundle":
        """Put a fitted head together with what its features say.

        The test rows are not read.

        Parameters
        ----------
        head : scikit-learn classifier
            Fitted on `features`.
        features : Features
        name : str, optional
            By default the class of the head.
        """
        scores = {}
        for split in ("train", "validation"):
            X, y = features.split(split)
            if len(y):
                proba = spread(head.predict_proba(X), head.classes_, len(features.class_names))
                scores[split] = evaluate(y, proba, features.class_names)
        provenance = {
            "content_digest": features.content_digest,
            "engine": features.engine,
            "rows": {split: len(features.rows(split)) for split in SPLIT_NAMES},
            "versions": {package: found for package in _RECORDED if (found := _version(package))},
        }
        return cls(
            head=head,
            name=name or type(head).__name__,
            class_names=features.class_names,
            recipe=features.recipe,
            layers=features.layers,
            weights=features.weights,
            scores=scores,
            provenance=provenance,
            probe=features.probe,
        )

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        """Return the probability of each class of `class_names`; of those never trained, 0.

        Parameters
        ----------
        X : ndarray of shape (N, D)
            Features by the bundle's recipe.

        Returns
        -------
        ndarray of float64, shape (N, K)
        """
        if X.shape[1] != self.head.n_features_in_:
            raise HeadstartError(
                "the features have another width than the head takes",
                f"{self.head.n_features_in_} features",
                f"{X.shape[1]} features",
                "train the head on features of the bundle's recipe and layers",
            )
        return spread(self.head.predict_proba(X), self.head.classes_, len(self.class_names))

    def predict(self, paths: Iterable[str | Path]) -> list:
        """Classify image files and folders; see `classify.predict.predict`."""
        from classify.predict import predict

        return predict(self, paths)

    def evaluate(self, features: Features, split: str = "test") -> dict:
        """Return the scores on one split of a feature file.

        Raises
        ------
        HeadstartError
            If the file has another recipe or other classes, or the split has no labelled rows.
        """
        return {"split": split, **evaluate(*self.judge(features, split), self.class_names)}

    def judge(self, features: Features, split: str = "test") -> tuple[np.ndarray, np.ndarray]:
        """Return the labels of one split of a feature file, and the probabilities of each class.

        Raises
        ------
        HeadstartError
            As `evaluate`.
        """
        self.check(features)
        X, y = features.split(split)
        if not len(y):
            counts = {name: len(features.rows(name)) for name in SPLIT_NAMES}
            raise HeadstartError(
                f"{features.path!r} has no labelled rows in the split {split!r}",
                "a split with rows",
                ", ".join(f"{name} {count}" for name, count in counts.items()),
                "choose another --split, or --cv for small sets",
            )
        return y, self.predict_proba(X)

    def check(self, features: Features) -> None:
        """Raise if the bundle cannot judge these features.

        Raises
        ------
        HeadstartError
            If recipes or classes differ.
        """
        refuse_other_recipe(Path(features.path), features.recipe, self.recipe)
        if (features.layers, features.X.shape[1]) != (self.layers, self.head.n_features_in_):
            raise HeadstartError(
                f"the features of {features.path!r} are not those that the head takes",
                f"{self.head.n_features_in_} features of {', '.join(self.layers)}",
                f"{features.X.shape[1]} features of {', '.join(features.layers)}",
                "load the layers of the bundle: load_features(path, bundle.layers)",
            )
        if features.class_names != self.class_names:
            raise HeadstartError(
                f"{features.path!r} has other classes than the bundle",
                ", ".join(self.class_names),
                ", ".join(features.class_names),
                "evaluate on a file with the classes that the head was trained on",
            )

    def save(self, folder: str | Path) -> "Bundle":
        """Write the bundle; an existing one is replaced, any other folder is refused.

        Parameters
        ----------
        folder : str or Path
            Gets ``bundle.json``, ``head.skops`` or ``head.keras`` and, where the backbone was
            fine-tuned, ``backbone.weights.h5``.

        Returns
        -------
        Bundle
            Itself.
        """
        folder = Path(folder)
        check_output(folder)
        try:
            aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
            try:
                self._write(aside)
                _replace(folder, aside)
            finally:
                shutil.rmtree(aside, ignore_errors=True)
        except OSError as error:
            raise HeadstartError(
                f"{str(folder)!r} could not be written",
                "a disk with room, and a folder that may be written",
                str(error),
                "mend that, or choose another -o",
            ) from error
        return self

    def _write(self, folder: Path) -> None:
        values = {name: getattr(self, name) for name in _PLAIN}
        values |= {"format": FORMAT, "format_version": FORMAT_VERSION}
        values |= {"recipe": json.loads(self.recipe.to_json()), "head": _save_head(self.head, folder)}
        values["probe"] = {layer: _to_text(feature) for layer, feature in self.probe.items()}
        if self.weights.get("name") == TUNED_WEIGHTS:
            copy_weights(self.recipe.weights, folder / TUNED_WEIGHTS)
        text = json.dumps(values, indent=2, ensure_ascii=False, default=_plain_number)
        (folder / "bundle.json").write_text(text, "utf-8")

    @classmethod
    def load(cls, folder: str | Path) -> "Bundle":
        """Read a bundle; nothing in it is run.

        Raises
        ------
        HeadstartError
            If the folder is no bundle, or of another version.
        """
        folder = Path(folder)
        try:
            values = _read_json(folder)
            plain = {name: values[name] for name in _PLAIN}
            plain |= {name: tuple(plain[name]) for name in ("class_names", "layers")}
            recipe = Recipe.from_json(json.dumps(values["recipe"]))
            probe = {layer: _from_text(text) for layer, text in values["probe"].items()}
            if (folder / TUNED_WEIGHTS).is_file() and not known_weights(recipe.weights):
                find_weights(recipe.backbone, folder / TUNED_WEIGHTS)
            return cls(head=_load_head(folder, values["head"]), recipe=recipe, probe=probe, **plain)
        except HeadstartError:
            raise
        except Exception as error:  # zip, JSON, Keras and skops raise anything on damaged files
            raise HeadstartError(
                f"{str(folder)!r} is not a bundle, or is damaged",
                "a folder that `python -m classify train` wrote",
                f"{type(error).__name__}: {' '.join(str(error).split())[:200]}",
                "check the path, or train one: python -m classify train FILE.h5",
            ) from error


_NOT_KEPT = ("build", "callbacks")  # functions and objects of the user's, done with when training ends
_PLAIN = ("name", "class_names", "layers", "weights", "scores", "provenance")


def check_output(folder: Path) -> None:
    """Raise if a bundle cannot be written to this folder.

    Raises
    ------
    HeadstartError
        If it exists and is no bundle, or the folder above it does not exist.
    """
    known, above = folder.exists(), folder.parent
    if (known and not _is_bundle(folder)) or not above.is_dir() or not os.access(above, os.W_OK):
        raise HeadstartError(
            f"{str(folder)!r} cannot take a bundle",
            "a new folder, or one that holds a bundle, in a folder that may be written",
            "a folder or file that is none" if known else f"no folder {str(above)!r} that may be written",
            "choose another folder with -o",
        )


def _to_text(feature: np.ndarray) -> str:
    return base64.b64encode(feature.astype("<f4").tobytes()).decode()


def _from_text(text: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), "<f4")


def _plain_number(value):
    """Turn a number of numpy, as a grid search leaves in parameters, into one of Python."""
    return value.item()


def _is_bundle(folder: Path) -> bool:
    try:
        return json.loads((folder / "bundle.json").read_text("utf-8"))["format"] == FORMAT
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _replace(folder: Path, new: Path) -> None:
    """Put a new folder in the place of an old one, which comes back if that fails."""
    new.chmod(0o777 & ~_umask())
    old = new.with_name(new.name + ".old")
    if folder.exists():
        folder.rename(old)
    try:
        new.rename(folder)
    except BaseException:
        if old.exists():
            old.rename(folder)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _umask() -> int:
    value = os.umask(0)
    os.umask(value)
    return value


def _save_head(head, folder: Path) -> dict:
    """Write the head and return how to read it again."""
    if hasattr(head, "model_"):
        head.model_.save(folder / "head.keras")
        params = {name: value for name, value in head.get_params().items() if name not in _NOT_KEPT}
        width = head.n_features_in_
        return {"file": "head.keras", "params": params, "classes": head.classes_.tolist(), "width": width}
    from skops.io import dump

    if any(head.get_params().get(name) for name in _NOT_KEPT):
        head = _without(head, _NOT_KEPT)
    dump(head, folder / "head.skops")
    todo = "make the bundle of a head of scikit-learn; of a search, of its best_estimator_"
    _check_types(folder / "head.skops", "this head", todo)
    return {"file": "head.skops"}


def _without(head, names: Iterable[str]):
    """Return a copy of a fitted head with some parameters as they are by default."""
    bare = copy(head)
    defaults = type(head)().get_params()
    return bare.set_params(**{name: defaults[name] for name in names})


def _load_head(folder: Path, values: dict):
    path = folder / values["file"]
    if values["file"] == "head.keras":
        import keras

        from classify.keras_head import KerasHead

        head = KerasHead(**values["params"])
        head.classes_, head.n_features_in_ = np.array(values["classes"]), values["width"]
        head.model_ = keras.saving.load_model(path, compile=False, safe_mode=True)
        return head
    from skops.io import load

    _check_types(path, f"the head in {str(folder)!r}", "use bundles that `python -m classify train` wrote")
    head = load(path, trusted=list(TRUSTED_TYPES))
    check_trees(head)
    return head


def _check_types(path: Path, name: str, todo: str) -> None:
    from skops.io import get_untrusted_types

    unknown = sorted(set(get_untrusted_types(file=path)) - set(TRUSTED_TYPES))
    if unknown:
        raise HeadstartError(
            f"{name} holds types that are not trusted",
            "types of scikit-learn and numpy",
            ", ".join(unknown),
            todo,
        )


def _read_json(folder: Path) -> dict:
    values = json.loads((folder / "bundle.json").read_text("utf-8"))
    if values.get("format") != FORMAT or values.get("format_version") != FORMAT_VERSION:
        raise HeadstartError(
            f"{str(folder)!r} is a bundle of another version",
            f"{FORMAT} {FORMAT_VERSION}",
            f"{values.get('format')} {values.get('format_version')}",
            "install the version of Headstart that wrote it",
        )
    return values


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
