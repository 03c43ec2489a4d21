"""Images to features as a step of a scikit-learn pipeline; each image is computed once."""

import hashlib
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Self

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import Tags

from data.errors import HeadstartError
from data.images import ImageError
from data.text import counted
from extract.engines.engine import Engine, open_engine
from extract.engines.pipeline import compute_batches
from extract.engines.probe import check_probes
from extract.feature_file.part import GrowingPart
from extract.feature_file.part_names import PART_ROWS, part_name
from extract.given import Image, checked_images, encoded, is_path, name_of, why_unreadable
from extract.recipe import Recipe, checked_recipe
from extract.row_cache import FolderRows, MemoryRows

_MOST_TOLD = 5  # images that an error names
_computing = threading.Lock()  # an engine runs one batch after the other, and takes all threads
_memories: dict[str, MemoryRows] = {}  # by recipe key
_engines: dict[int, tuple[tuple[str, Recipe], Engine]] = {}  # by process, with name and recipe


class FeatureExtractor(TransformerMixin, BaseEstimator):
    """Images to the features of a frozen backbone.

    Nothing is learned, so features may be computed before the data are split. Each different
    image goes through the backbone once by a recipe: over folds, over the candidates of a
    search and, with a folder, over processes and their ends.

    Parameters
    ----------
    recipe : Recipe
    cache : str or Path, optional
        Folder in which features are kept, in part files under the key of the recipe; any number
        of processes may share it. None keeps them in the memory of this process, where all
        extractors of the recipe share them: processes that joblib starts then compute their own.
    engine : str
        As `extract.engines.engine.open_engine` takes it.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression  # doctest: +SKIP
    >>> from sklearn.model_selection import cross_val_score  # doctest: +SKIP
    >>> recipe = Recipe.for_backbone("xception", image_size=150)  # doctest: +SKIP
    >>> model = make_pipeline(FeatureExtractor(recipe, "features"), LogisticRegression())  # doctest: +SKIP
    >>> cross_val_score(model, paths, labels, n_jobs=2).mean()  # doctest: +SKIP
    0.97
    """

    def __init__(self, recipe: Recipe, cache: str | Path | None = None, engine: str = "auto") -> None:
        self.recipe = recipe
        self.cache = cache
        self.engine = engine

    def fit(self, X: object = None, y: object = None) -> Self:
        """Return itself: a frozen backbone learns nothing."""
        return self

    def transform(self, X: object) -> np.ndarray:
        """Return the features of images; those that are not known are computed and kept.

        Parameters
        ----------
        X : sequence of N images, or array of shape (N, H, W) or (N, H, W, C)
            An image is the path of a file (str or Path), the bytes of a file, an image of Pillow, or
            an array (H, W) or (H, W, C) with values in 0..255. A path alone is one image.

        Returns
        -------
        ndarray of float32, shape (N, D)
            The layers of the recipe side by side.

        Raises
        ------
        HeadstartError
            If an image cannot be read or decoded, with its index and the reason; if this
            machine computes other features than those that are kept, or cannot keep them.
        """
        images, rows = checked_images(X), self._rows()
        digests = _digests(images, self._encoded)
        found = rows.find(digests)
        if any(digest not in found for digest in digests):
            with _computing, rows.locked():
                found |= rows.find(set(digests) - found.keys())  # another one may have kept them since
                missing = {d: number for number, d in enumerate(digests) if d not in found}
                if missing:
                    found |= self._compute(rows, images, missing)
        features = np.empty((len(digests), sum(map(len, found[digests[0]]))), np.float32)
        for number, digest in enumerate(digests):
            np.concatenate(found[digest], out=features[number])
        return features

    def get_feature_names_out(self, input_features: object = None) -> np.ndarray:
        """Return a name for each column of `transform`: the layer and the index in it.

        Returns
        -------
        ndarray of object, shape (D,)
            As ``avg_pool_0``.
        """
        known = self._rows().probes()
        if known:
            probe = [known[0].features[layer] for layer in self.recipe.layers]
        else:
            with _computing:
                probe = check_probes(_opened_engine(self.engine, self.recipe), self.recipe, [])
        names = zip(self.recipe.layers, map(len, probe), strict=True)
        return np.array([f"{layer}_{number}" for layer, width in names for number in range(width)], object)

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.one_d_array, tags.input_tags.string = True, True
        tags.input_tags.two_d_array, tags.input_tags.three_d_array = False, True
        tags.requires_fit, tags.no_validation = False, True
        return tags

    def _rows(self) -> FolderRows | MemoryRows:
        checked_recipe(self.recipe)
        if self.cache is not None:
            return FolderRows(self.cache, self.recipe)
        return _memories.setdefault(self.recipe.key, MemoryRows(self.recipe))

    def _encoded(self, image: Image) -> bytes:
        return encoded(image, self.recipe.exif_orientation)

    def _compute(
        self, rows: FolderRows | MemoryRows, images: Sequence[Image], missing: dict[bytes, int]
    ) -> dict[bytes, Sequence[np.ndarray]]:
        """Compute missing images by digest and keep them; at the end raise if some are broken."""
        engine = _opened_engine(self.engine, self.recipe)
        probe, described = _checked_probe(engine, self.recipe, rows), engine.describe()
        done: dict[bytes, Sequence[np.ndarray]] = {}
        broken: dict[int, str] = {}
        more = True
        contents = _contents(images, self._encoded, missing, broken)
        batches = compute_batches(engine, self.recipe, contents)
        while more:
            with GrowingPart(lambda name, some, rejected: rows.keep(described, probe, some)) as part:
                _grow(part, batches)
            done |= part.rows
            broken |= {missing[digest]: reason for digest, reason in part.rejected.items()}
            more = len(part.rows) >= PART_ROWS
        if broken:
            raise _unreadable(images, broken)
        return {digest: [np.array(layer, self.recipe.dtype) for layer in row] for digest, row in done.items()}


def _grow(part: GrowingPart, batches: Iterator[list[tuple[bytes, list[np.ndarray] | ImageError]]]) -> None:
    """Fill a part, and close it if it has rows."""
    for batch in batches:
        part.add(batch)
        if len(part.rows) >= PART_ROWS:
            break
    if part.rows:
        part.close(part_name(part.rows))


def _opened_engine(name: str, recipe: Recipe) -> Engine:
    """Open an engine, which takes seconds, and keep it for the next fold; a fork opens its own.

    A fork must not even drop the engine of its parent: that would wait for the parent's threads.
    """
    process, wanted = os.getpid(), (name, recipe)
    if process not in _engines or _engines[process][0] != wanted:
        _engines[process] = wanted, open_engine(name, recipe)
    return _engines[process][1]


def _renew_lock() -> None:
    """Let a fork compute, also where a thread of its parent was computing just then."""
    global _computing
    _computing = threading.Lock()


os.register_at_fork(after_in_child=_renew_lock)


def _checked_probe(engine: Engine, recipe: Recipe, rows: FolderRows | MemoryRows) -> list[np.ndarray]:
    try:
        return check_probes(engine, recipe, rows.probes())
    except HeadstartError as error:
        todo = "use the versions that computed the kept features, or another cache folder"
        raise HeadstartError(error.happened, error.expected, error.received, todo) from None


def _digests(images: Sequence[Image], encode: Callable[[Image], bytes]) -> list[bytes]:
    """Return the sha256 of each image's bytes, or raise with all that cannot be read."""
    digests: list[bytes] = []
    broken: dict[int, str] = {}
    for number, image in enumerate(images):
        try:
            digests.append(hashlib.sha256(encode(image)).digest())
        except (OSError, ValueError) as error:
            broken[number] = why_unreadable(error)
    if broken:
        raise _unreadable(images, broken)
    return digests


def _contents(
    images: Sequence[Image],
    encode: Callable[[Image], bytes],
    missing: dict[bytes, int],
    broken: dict[int, str],
) -> Iterator[tuple[bytes, bytes]]:
    """Yield digest and bytes of missing images; say in `broken` which are not what was hashed."""
    for digest, number in missing.items():
        try:
            data = encode(images[number])
        except OSError as error:
            broken[number] = why_unreadable(error)
            continue
        if hashlib.sha256(data).digest() == digest:
            yield digest, data
        else:
            broken[number] = "changed while it was read"


def _unreadable(images: Sequence[Image], broken: dict[int, str]) -> HeadstartError:
    told = [f"{_name(images, number)}: {broken[number]}" for number in sorted(broken)[:_MOST_TOLD]]
    more = len(broken) - len(told)
    return HeadstartError(
        f"{counted(len(broken), 'image')} of {len(images)} cannot be read",
        "images that can be decoded",
        "; ".join(told) + (f"; and {more} more" if more else ""),
        "mend them or leave them out; the features of the others are kept",
    )


def _name(images: Sequence[Image], number: int) -> str:
    image = images[number]
    return f"image {number}" + (f" ({name_of(image, number)})" if is_path(image) else "")
