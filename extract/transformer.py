"""Images to features as a step of a scikit-learn pipeline; each image is computed once."""

import hashlib
import threading
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin

from data.errors import HeadstartError, counted
from data.folder import printable
from data.images import ImageError
from data.memory import npy_bytes
from extract.cached import FolderRows, MemoryRows
from extract.engines import Engine, open_engine
from extract.parity import check_probes
from extract.plan import PART_ROWS
from extract.recipe import Recipe
from extract.worker import compute_features

Image = str | Path | bytes | np.ndarray
_MOST_TOLD = 5  # images that an error names
_computing = threading.Lock()  # an engine runs one batch after the other, and takes all threads
_memories: dict[str, MemoryRows] = {}  # by recipe key


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
        As `extract.engines.open_engine` takes it.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression  # doctest: +SKIP
    >>> from sklearn.model_selection import cross_val_score  # doctest: +SKIP
    >>> recipe = Recipe.for_backbone("xception", image_size=150)  # doctest: +SKIP
    >>> model = make_pipeline(FeatureExtractor(recipe, "features"), LogisticRegression())  # doctest: +SKIP
    >>> cross_val_score(model, paths, labels, n_jobs=2).mean()  # doctest: +SKIP
    0.97
    """

    def __init__(self, recipe, cache=None, engine="auto"):
        self.recipe = recipe
        self.cache = cache
        self.engine = engine

    def fit(self, X=None, y=None):
        """Return itself: a frozen backbone learns nothing."""
        return self

    def transform(self, X) -> np.ndarray:
        """Return the features of images; those that are not known are computed and kept.

        Parameters
        ----------
        X : sequence of N images, or array of shape (N, H, W) or (N, H, W, C)
            An image is the path of a file (str or Path), the bytes of a file, or an array
            (H, W) or (H, W, C) with values in 0..255.

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
        images, rows = _checked_images(X), self._rows()
        digests = _digests(images)
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

    def get_feature_names_out(self, input_features=None) -> np.ndarray:
        """Return a name for each column of `transform`: the layer and the index in it.

        Returns
        -------
        ndarray of object, shape (D,)
            As ``avg_pool_0``.
        """
        known = self._rows().probes()
        if known:
            probe = [known[0][2][layer] for layer in self.recipe.layers]
        else:
            with _computing:
                probe = check_probes(_opened_engine(self.engine, self.recipe), self.recipe, [])
        names = zip(self.recipe.layers, map(len, probe), strict=True)
        return np.array([f"{layer}_{number}" for layer, width in names for number in range(width)], object)

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.one_d_array, tags.input_tags.string = True, True
        tags.input_tags.two_d_array, tags.input_tags.three_d_array = False, True
        tags.requires_fit, tags.no_validation = False, True
        return tags

    def _rows(self) -> FolderRows | MemoryRows:
        if not isinstance(self.recipe, Recipe):
            raise HeadstartError(
                "the extractor has no recipe",
                "a recipe, as extract.Recipe.for_backbone makes it",
                repr(self.recipe)[:200],
                'write FeatureExtractor(Recipe.for_backbone("xception"))',
            )
        if self.cache is not None:
            return FolderRows(self.cache, self.recipe)
        return _memories.setdefault(self.recipe.key, MemoryRows(self.recipe))

    def _compute(self, rows, images: Sequence[Image], missing: dict[bytes, int]) -> dict[bytes, list]:
        """Compute missing images by digest and keep them; at the end raise if some are broken."""
        engine = _opened_engine(self.engine, self.recipe)
        probe, described = _checked_probe(engine, self.recipe, rows), engine.describe()
        done, part, broken = {}, {}, {}
        for digest, result in compute_features(engine, self.recipe, _contents(images, missing, broken)):
            if isinstance(result, ImageError):
                broken[missing[digest]] = str(result)
                continue
            part[digest] = [np.array(layer, self.recipe.dtype) for layer in result]
            if len(part) >= PART_ROWS:
                rows.keep(described, probe, part)
                done, part = done | part, {}
        if part:
            rows.keep(described, probe, part)
        if broken:
            raise _unreadable(images, broken)
        return done | part


@lru_cache(maxsize=1)
def _opened_engine(name: str, recipe: Recipe) -> Engine:
    """Open an engine, which takes seconds, and keep it for the next fold."""
    return open_engine(name, recipe)


def _checked_probe(engine: Engine, recipe: Recipe, rows) -> list[np.ndarray]:
    try:
        return check_probes(engine, recipe, rows.probes())
    except HeadstartError as error:
        todo = "use the versions that computed the kept features, or another cache folder"
        raise HeadstartError(*error.args[:3], todo) from None


def _checked_images(X) -> list[Image]:
    """Return images as a list, or raise for what is not a sequence of images."""
    if isinstance(X, str | bytes | Path | dict) or not hasattr(X, "__len__"):
        raise _no_images("this", type(X).__name__)
    if hasattr(X, "__array__"):  # arrays, and columns of pandas
        X = np.asarray(X)
        _check_array(X)
    images = list(X)
    wrong = [image for image in images if not isinstance(image, Image)]
    if wrong or not images:
        raise _no_images("something else", repr(wrong[0])[:100] if wrong else "no images")
    arrays = [image for image in images if isinstance(image, np.ndarray)]
    if arrays and all(array.dtype.kind == "f" for array in arrays):
        highest = max((array.max() for array in arrays if array.size), default=0)
        if 0 < highest <= 1:
            raise _no_images("values that are not in 0..255", f"values up to {highest}", "multiply by 255")
    return images


def _check_array(X: np.ndarray) -> None:
    pixels = X.dtype.kind in "buif"
    if X.dtype.kind == "S":  # numpy cuts the zeros at their ends
        raise _no_images("bytes in an array of numpy", "an array, which loses trailing zeros", "give a list")
    if X.ndim != 1 and not (pixels and X.ndim in (3, 4)):
        raise _no_images("an array of another shape", f"{X.dtype} of shape {X.shape}")
    if X.ndim == 3 and X.shape[2] in (1, 3, 4):
        raise _no_images("one image", f"the shape {X.shape}", "give X[numpy.newaxis]")


def _no_images(
    what: str, received: str, todo: str = "give a sequence of images, also for a single one"
) -> HeadstartError:
    return HeadstartError(
        f"features are computed from a sequence of images, not from {what}",
        "a list of paths, bytes or arrays (H, W) or (H, W, C) in 0..255, or one array (N, H, W, C)",
        received,
        todo,
    )


def _digests(images: Sequence[Image]) -> list[bytes]:
    """Return the sha256 of each image's bytes, or raise with all that cannot be read."""
    digests, broken = [], {}
    for number, image in enumerate(images):
        try:
            digests.append(hashlib.sha256(_bytes(image)).digest())
        except (OSError, ValueError) as error:
            broken[number] = f"cannot be read: {getattr(error, 'strerror', None) or error}"
    if broken:
        raise _unreadable(images, broken)
    return digests


def _bytes(image: Image) -> bytes:
    if isinstance(image, bytes):
        return image
    return npy_bytes(image) if isinstance(image, np.ndarray) else Path(image).read_bytes()


def _contents(
    images: Sequence[Image], missing: dict[bytes, int], broken: dict[int, str]
) -> Iterator[tuple[bytes, bytes]]:
    """Yield digest and bytes of missing images; say in `broken` which are not what was hashed."""
    for digest, number in missing.items():
        try:
            data = _bytes(images[number])
        except OSError as error:
            broken[number] = f"cannot be read: {error.strerror or error}"
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
    return f"image {number}" + (f" ({printable(str(image))})" if isinstance(image, str | Path) else "")
