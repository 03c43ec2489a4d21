"""Feature files as the matrix that heads learn from."""

import hashlib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from classify.features.applied import Applied
from classify.features.blocks import refuse_not_finite
from classify.features.columns import Columns, Matrix
from classify.features.rows import LabelledRows
from data.errors import HeadstartError
from data.splits import SPLIT_NAMES
from data.text import counted, some_of
from extract.backbones.applications import BACKBONES
from extract.backbones.kinds import is_own, short_name
from extract.backbones.records import known_weights
from extract.backbones.weights import copy_weights, ensure_weights, install_weights
from extract.engines.engine import Engine, open_engine
from extract.engines.probe import check_probes
from extract.model_files.carried import GRAPH_FILE, bring_graph, carry_graph
from extract.recipe import EngineInfo, Probe, Recipe
from extract.run.survey import refuse_other_recipe


@dataclass(frozen=True)
class FeatureSet:
    """Columns of a matrix: how they are computed from an image.

    Attributes
    ----------
    recipe : Recipe
    layers : tuple of str
        Layers of the recipe whose features stand side by side.
    widths : tuple of int
        Features of each layer.
    weights : dict
        Name and origin of the backbone's weights.
    content_digest : str
        Of the feature file.
    engine : EngineInfo
        What computed it.
    probe : dict of str to ndarray
        The feature of `extract.engines.probe.probe_image` by layer; empty where there is no file.
    weights_file : Path or None
        Of a fine-tuned backbone, in the folder of its bundle: kept in our cache once it is used.
    """

    recipe: Recipe
    layers: tuple[str, ...]
    widths: tuple[int, ...]
    weights: dict
    content_digest: str
    engine: EngineInfo = field(default_factory=lambda: EngineInfo(""))
    probe: dict[str, np.ndarray] = field(default_factory=dict, repr=False, compare=False)
    weights_file: Path | None = field(default=None, repr=False, compare=False)

    @property
    def width(self) -> int:
        """Number of features."""
        return sum(self.widths)

    def open(self) -> Engine:
        """Open an engine, and prove that it computes the features of `probe`, where there is one.

        Raises
        ------
        HeadstartError
            As `ensure_weights` raises it, or if this machine computes other features.
        """
        self.ensure_weights()
        engine = open_engine("auto", self.recipe, simulate=True)
        if self.probe:
            stored = Probe("the bundle", self.engine, self.probe)
            check_probes(engine, self.recipe, [stored])
        return engine

    def ensure_weights(self) -> None:
        """Let our cache hold the weights of the backbone: of `weights_file`, or found again by their name.

        Raises
        ------
        HeadstartError
            If they are not found, or damaged, or of a backbone that this version has not.
        """
        backbone, digest = self.recipe.backbone, self.recipe.weights
        if not is_own(backbone) and backbone not in BACKBONES:
            raise HeadstartError(
                f"this version of Headstart has no backbone {backbone!r}",
                f"one of its {len(BACKBONES)} backbones",
                f"a recipe of {backbone}",
                "install the version that computed the features",
            )
        if is_own(backbone):
            bring_graph(backbone, self.weights_file, self.weights.get("model", "of that model"))
        if self.weights_file is None or known_weights(digest):
            ensure_weights(backbone, digest, self.weights.get("name", "unknown"))
            return
        install_weights(self.weights_file, self.recipe)

    def copy_weights(self, path: Path) -> None:
        """Copy the weights of the backbone, as a file that ``--weights`` takes; beside it a user's graph."""
        if is_own(self.recipe.backbone):
            carry_graph(self.recipe.backbone, path.with_name(GRAPH_FILE), self.weights_file)
        if self.weights_file is None or known_weights(self.recipe.weights):
            copy_weights(self.recipe.weights, path)
        else:
            shutil.copyfile(self.weights_file, path)

    def columns(self, outputs: Sequence[np.ndarray]) -> np.ndarray:
        """Put the layers that are ours side by side.

        Parameters
        ----------
        outputs : sequence of ndarray, of shape (..., D)
            What an engine computes: one array for each layer of the recipe.

        Returns
        -------
        ndarray of shape (..., `width`)

        Examples
        --------
        >>> recipe = Recipe("xception", "00", layers=("block14_sepconv2_act", "avg_pool"))
        >>> own = FeatureSet(recipe, ("avg_pool",), (2,), {}, "")
        >>> own.columns([np.zeros((1, 3)), np.ones((1, 2))]).tolist()
        [[1.0, 1.0]]
        """
        return np.concatenate([outputs[self.recipe.layers.index(name)] for name in self.layers], axis=-1)

    def features(self, engine: Engine, pixels: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
        """Return the features of decoded images, or of some of them, batch by batch.

        Parameters
        ----------
        engine : Engine
            Of our recipe.
        pixels : ndarray of float32, shape (N, height, width, 3)
        rows : ndarray of int, shape (n,), optional

        Returns
        -------
        ndarray of float32, shape (n, `width`)
        """
        rows = np.arange(len(pixels)) if rows is None else rows
        found = [np.empty((0, self.width), np.float32)]
        for first in range(0, len(rows), engine.batch_size):
            found.append(self.columns(engine(pixels[rows[first : first + engine.batch_size]])))
        return np.concatenate(found)


@dataclass(frozen=True, repr=False)
class FeatureMatrix(LabelledRows):
    """Labelled rows with their features.

    Attributes
    ----------
    X : ndarray of float32, ShardedArray or Columns, of shape (N, D)
        The features of `feature_sets` side by side; mapped from the file where it is one layer.
    feature_sets : tuple of FeatureSet
    corrections : Applied or None
        What was corrected of the labels that the files hold.
    """

    X: Matrix
    feature_sets: tuple[FeatureSet, ...]
    corrections: Applied | None = field(default=None, repr=False)

    def __repr__(self) -> str:
        counts = {split: len(self.rows(split)) for split in SPLIT_NAMES}
        counts["unlabelled"] = int((self.y < 0).sum())
        return (
            f"Features of {shortened(self.path)}: {counted(self.X.shape[0], 'row')} x {self.X.shape[1]}\n"
            f"  {sets_text(self.feature_sets)}\n  {names_text(self.class_names)}\n"
            f"  {', '.join(f'{name} {count}' for name, count in counts.items())}"
        )

    @property
    def left_out(self) -> np.ndarray:
        """Rows whose label corrections took away, shape (n,)."""
        return self.corrections.rows["left_out"] if self.corrections else np.empty(0, int)

    @property
    def content_digest(self) -> str:
        """Of the files, in hexadecimal."""
        digests = [each.content_digest for each in self.feature_sets]
        return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()

    @property
    def labelled_digest(self) -> str:
        """Of the files and of the corrections of their labels, in hexadecimal: what training depends on."""
        if self.corrections is None:
            return self.content_digest
        return hashlib.sha256(f"{self.content_digest}{self.corrections.digest}".encode()).hexdigest()

    def select(self, wanted: Sequence[FeatureSet]) -> "FeatureMatrix":
        """Return the columns of some feature sets, in their order.

        Raises
        ------
        HeadstartError
            If a recipe or a layer is not here.
        """
        found = self._all_matching(wanted)
        layers = [
            place for own, each in zip(found, wanted, strict=True) for place in self._places(own, each.layers)
        ]
        sets = tuple(
            replace(own, layers=each.layers, widths=each.widths)
            for own, each in zip(found, wanted, strict=True)
        )
        return replace(self, X=self._columns(layers), feature_sets=sets)

    def arithmetic_warnings(self, wanted: Sequence[FeatureSet]) -> list[str]:
        """Return a line for each set that another kind of int8 computed than one that a head learned from.

        Raises
        ------
        HeadstartError
            As `select` raises it.
        """
        found = zip(wanted, self._all_matching(wanted), strict=True)
        names = [(each.engine.arithmetic, own.engine.arithmetic) for each, own in found]
        return [
            f"the head learned features of {learned!r}, those of {self.path!r} are of {own!r}:"
            " scores may differ"
            for learned, own in names
            if learned and own and learned != own
        ]

    def _all_matching(self, wanted: Sequence[FeatureSet]) -> list[FeatureSet]:
        if len(wanted) > len(self.feature_sets):
            raise HeadstartError(
                f"{self.path!r} holds fewer features than the head takes",
                f"files of {len(wanted)} recipes: {'; '.join(map(_recipe_text, wanted))}",
                "; ".join(map(_recipe_text, self.feature_sets)),
                "name the feature files of all recipes",
            )
        return [self._matching(each) for each in wanted]

    def _matching(self, wanted: FeatureSet) -> FeatureSet:
        nearest = min(self.feature_sets, key=lambda own: len(list(wanted.recipe.differences(own.recipe))))
        todo = "name a file of the head's recipe, or make one: python -m extract run ... -o OTHER.h5"
        refuse_other_recipe(Path(self.path), nearest.recipe, wanted.recipe, todo)
        widths = dict(zip(nearest.layers, nearest.widths, strict=True))
        if any(widths.get(layer) != width for layer, width in zip(wanted.layers, wanted.widths, strict=True)):
            raise HeadstartError(
                f"the features of {self.path!r} are not those that the head takes",
                f"{wanted.width} features of {', '.join(wanted.layers)}",
                f"{nearest.width} features of {', '.join(nearest.layers)}",
                "load all layers of the file",
            )
        return nearest

    def _places(self, own: FeatureSet, layers: Sequence[str]) -> list[int]:
        """Return which of all our layers some layers of one of our feature sets are."""
        every = [(id(each), layer) for each in self.feature_sets for layer in each.layers]
        return [every.index((id(own), layer)) for layer in layers]

    def _columns(self, layers: Sequence[int]) -> Matrix:
        """Return some of our layers side by side; of `Columns` nothing is read."""
        widths = [width for each in self.feature_sets for width in each.widths]
        if list(layers) == list(range(len(widths))):
            return self.X
        if isinstance(self.X, Columns):
            return self.X.layers(layers)
        starts = np.cumsum([0, *widths])
        columns = [np.arange(starts[place], starts[place + 1]) for place in layers]
        return np.asarray(self.X)[:, np.concatenate(columns)]

    def split(self, *names: str) -> tuple[np.ndarray, np.ndarray]:
        """Return X and y of the labelled rows of some splits.

        Parameters
        ----------
        *names : str
            ``train``, ``validation``, ``test``.

        Returns
        -------
        X : ndarray of float32, shape (n, D)
        y : ndarray of int32, shape (n,)

        Raises
        ------
        HeadstartError
            If a feature is not a finite number.

        Examples
        --------
        >>> X, y = load_features("photos.h5").split("train")  # doctest: +SKIP
        """
        chosen = self.rows(*names)
        X = self.X[chosen]
        refuse_not_finite(X, lambda row: self.ids[chosen[row]], repr(self.path))
        return X, self.y[chosen]

    def training_rows(self) -> tuple[np.ndarray, np.ndarray]:
        """Return X and y of the training rows, or raise as `check_training` does."""
        self.check_training()
        return self.split("train")

    def validation_rows(self) -> tuple[np.ndarray, np.ndarray]:
        """Return X and y of the validation rows, or raise if there are none."""
        self.check_validation()
        return self.split("validation")


def sets_text(sets: Sequence[FeatureSet]) -> str:
    """Return in one line how features are computed."""
    return shortened(some_of([f"{_recipe_text(each)} ({each.width})" for each in sets], 2))


def names_text(class_names: Sequence[str]) -> str:
    """Return number and names of classes in one line.

    Examples
    --------
    >>> names_text(("ant", "bee"))
    '2 classes: ant, bee'
    """
    words = "1 class" if len(class_names) == 1 else f"{len(class_names)} classes"
    return f"{words}: {shortened(some_of(class_names, 5))}"


def shortened(text: str, most: int = 90) -> str:
    """Return a text without its middle where it is long.

    Examples
    --------
    >>> shortened("0123456789", 7)
    '01...89'
    """
    half = (most - 3) // 2
    return text if len(text) <= most else f"{text[:half]}...{text[-half:]}"


def _recipe_text(each: FeatureSet) -> str:
    height, width = each.recipe.image_size
    return f"{short_name(each.recipe.backbone)} {height}x{width} {' '.join(each.layers)}"
