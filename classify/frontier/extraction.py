"""Features of the sample by one pass: made, kept, timed, and judged by cross-validation."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from classify.features.load import load_features
from classify.features.matrix import FeatureMatrix
from classify.frontier.compare import Judged
from classify.frontier.grid import Pass, Request
from classify.frontier.sample import FOLDS, Sample
from classify.heads.table import make_head
from classify.scores.cross_validation import cross_validate, possible_folds, together
from data.errors import HeadstartError
from data.sources.source import Row, Source
from data.sources.subset import SomeRows
from extract.backbones.weights import find_weights
from extract.engines.engine import open_engine
from extract.engines.pipeline import compute_features
from extract.feature_file.reader import FeatureFile
from extract.recipe import Recipe
from extract.run.calibrate import quantized
from extract.run.extract import extract
from extract.run.options import Options
from extract.run.plan import Scan
from extract.run.worker import bytes_of

_TIMED = 96  # images, at most, where all of the sample is known
_FEWEST_TIMED, _SHORTEST = 64, 1.0  # images and seconds, below which a speed is uncertain


@dataclass(frozen=True)
class Speed:
    """Images whose time was measured, and how many seconds they took.

    Examples
    --------
    >>> Speed(96, 2.0).images_per_second
    48.0
    """

    images: int
    seconds: float

    @property
    def images_per_second(self) -> float:
        """The ratio of the two."""
        return self.images / self.seconds

    @property
    def is_uncertain(self) -> bool:
        """Whether it comes of fewer than 64 images, or of less than a second."""
        return self.images < _FEWEST_TIMED or self.seconds < _SHORTEST

    @staticmethod
    def of_most(several: "Iterable[Speed | None]") -> "Speed | None":
        """Return the measurement over the most images, of equal ones the longest; None if there is none."""
        return max(filter(None, several), key=lambda each: (each.images, each.seconds), default=None)


@dataclass(frozen=True)
class Workshop:
    """What extraction works on.

    Attributes
    ----------
    source : Source
    scan : Scan
        All of its rows.
    sample : Sample
    folder : Path
        Where feature files of the sample are kept.
    request : Request
    """

    source: Source
    scan: Scan
    sample: Sample
    folder: Path
    request: Request

    @property
    def options(self) -> Options:
        """How extraction goes about its work."""
        return Options(threads=self.request.threads, allow_drop=True, max_bad="100%")

    def find_weights(self, backbone: str) -> None:
        """Let our cache hold the weights of a backbone.

        Raises
        ------
        HeadstartError
            If they are not found.
        """
        find_weights(backbone, self.request.weights)

    def recipe(self, each: Pass) -> Recipe:
        """Return the recipe of a pass, the one that a run over the whole source has.

        Raises
        ------
        HeadstartError
            If weights, packages or layers are not at hand.
        """
        recipe = Recipe.for_backbone(
            each.backbone,
            weights=self.request.weights,
            image_size=each.size,
            layers=each.layers,
            precision=each.precision,
            **self.request.seen_by(each.backbone).fields_for(each.backbone),
        )
        return quantized(recipe, self.source, scan=self.scan) if each.arithmetic == "int8" else recipe

    def path(self, each: Pass, recipe: Recipe) -> Path:
        """Return where features of the sample are kept."""
        return self.folder / f"{each.stem}-{recipe.key[:8]}.h5"

    def extract(self, recipe: Recipe, path: Path, rows: int) -> Speed | None:
        """Bring the file up to the first rows of the sample; rows that it has already stay.

        Returns
        -------
        Speed or None
            Of the images after the engine's first batches; None where too few were computed.
        """
        wanted = {row.id for row in self.sample.rows[:rows]}
        if path.exists():
            wanted |= set(FeatureFile(path).contents.ids)
        numbers = np.array([number for number, name in enumerate(self.scan.rows.ids) if name in wanted], int)
        some = self.scan.at(numbers)
        clock = _Clock()
        extract(
            SomeRows(self.source, tuple(some.rows)),
            recipe,
            path,
            replace(self.options, scan=some),
            progress=clock.tick,
        )
        return clock.speed()

    def timed(self, recipe: Recipe) -> Speed:
        """Measure the pipeline on a few images of the sample, where nothing has to be computed."""
        engine = open_engine("auto", recipe, self.request.threads)
        rows = self.sample.rows[: engine.batch_size * (1 + engine.ahead) + _TIMED]
        clock = _Clock()
        for number, _ in enumerate(compute_features(engine, recipe, bytes_of(self.source, rows))):
            clock.tick(number + 1, len(rows))
        return clock.speed() or clock.whole()

    def features(self, path: Path, rows: int) -> FeatureMatrix:
        """Return the first rows of the sample in their order; those that were rejected are not there."""
        whole = load_features(path)
        places = {name: place for place, name in enumerate(whole.ids)}
        return taken(whole, self.sample.rows[:rows], places)

    def judge(self, features: FeatureMatrix) -> Judged:
        """Cross-validate the head that chooses its own penalty."""
        folds = possible_folds(features, FOLDS) or FOLDS
        found = cross_validate(make_head("logistic"), features, folds, self.request.seed)
        return Judged(found, together(features, np.arange(len(features.ids))))


def taken(features: FeatureMatrix, rows: Sequence[Row], places: dict[str, int]) -> FeatureMatrix:
    """Return the features of some rows, in their order."""
    kept = np.array([places[row.id] for row in rows if row.id in places], int)
    return replace(
        features,
        X=np.asarray(features.X[kept]),
        **{name: getattr(features, name)[kept] for name in ("y", "digests", "splits")},
        ids=tuple(features.ids[place] for place in kept),
        groups=tuple(features.groups[place] for place in kept) if features.groups else (),
    )


def row_bytes(path: Path) -> float:
    """Return the bytes of a feature file for each of its rows."""
    return path.stat().st_size / max(1, len(FeatureFile(path).contents.ids))


class _Clock:
    """Times at which images were done."""

    def __init__(self) -> None:
        self._ticks: list[tuple[int, float]] = []

    def tick(self, done: int, total: int) -> None:
        self._ticks.append((done, time.perf_counter()))

    def speed(self) -> Speed | None:
        """Return the speed from the moment on when a third was done: engines are slow to begin."""
        done = [tick for tick in self._ticks if tick[0]]
        if not done:
            return None
        begun = next(tick for tick in done if 3 * tick[0] >= done[-1][0])
        images, seconds = done[-1][0] - begun[0], done[-1][1] - begun[1]
        return Speed(images, seconds) if images and seconds > 0 else None

    def whole(self) -> Speed:
        """Return the speed from the first tick on."""
        return Speed(len(self._ticks), max(self._ticks[-1][1] - self._ticks[0][1], 1e-9))


Say = Callable[[str], None]


def why_left_out(error: HeadstartError) -> str:
    """Return in one line why something was left out."""
    return f"{error.happened}: {error.received}"
