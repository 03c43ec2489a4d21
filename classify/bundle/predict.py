"""New images to labels, by the recipe in the bundle."""

import logging
import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from itertools import groupby
from os import PathLike, fspath
from pathlib import Path

import numpy as np

from classify.bundle.prediction import Answering, Asked, Classifier, Prediction
from classify.features.matrix import FeatureSet
from data.errors import HeadstartError, NotFoundError, is_missing
from data.images import ImageError
from data.lists import as_list
from data.sources.naming import BRACES
from data.sources.source import holds_many, open_many
from data.sources.tree import IMAGE_SUFFIXES, read_tree
from data.stores.urls import below, is_url, shown
from data.text import printable, shell_word
from extract.engines.engine import Engine
from extract.engines.pipeline import compute_features
from extract.given import (
    Image,
    Inside,
    Unread,
    bytes_of,
    checked_images,
    is_one_image,
    is_path,
    name_of,
    why_unreadable,
)
from extract.recipe import Recipe
from extract.run.worker import warn_of_dim

_log = logging.getLogger("headstart.predict")

Opening = Future[list[Engine]]
Given = Image | Inside | Unread
_TABLES = (".csv", ".tsv", ".tab")


def open_engines(feature_sets: Sequence[FeatureSet]) -> list[Engine]:
    """Open the engine of each feature set, and prove that it computes its features."""
    return [each.open() for each in feature_sets]


class Predictor:
    """A bundle with its engines open, so that the first call pays for them alone.

    Several threads may call it; one call is computed after the other. Make it with
    `Bundle.predictor`.

    Parameters
    ----------
    bundle : Bundle
    opening : Future of list of Engine, optional
        Its engines, where a thread opens them already.

    Examples
    --------
    >>> with Bundle.load("photos-logistic").predictor() as predict:  # doctest: +SKIP
    ...     predict("new.jpg")[0].label
    'cat'
    """

    def __init__(self, bundle: Classifier, opening: Opening | None = None) -> None:
        self._bundle = bundle
        self._opening = {os.getpid(): opening} if opening else {}
        self._opened: dict[int, tuple[threading.Lock, list[Engine]]] = {}  # by process: a fork opens its own

    def __enter__(self) -> "Predictor":
        with self._engines():
            return self

    def __exit__(self, *_: object) -> None:
        self._opened.pop(os.getpid(), None)

    def __call__(
        self,
        images: Image | Sequence[Image],
        abstain: float | None = None,
        *,
        top_k: int | None = None,
        coverage: float | None = None,
    ) -> list[Prediction]:
        """Classify images; parameters, result and errors are those of `predict`."""
        answering = Answering(self._bundle, Asked(abstain, top_k, coverage))
        given = list(_expanded(images))
        names = [name_of(image, number) for number, image in enumerate(given)]
        errors: dict[int, str] = {}
        with self._engines() as engines:
            rows = self._rows(engines, given, errors)
            read = [name for number, name in enumerate(names) if number not in errors]
            found = answering(rows).of(read) if read else iter(())
        return [
            Prediction(name, None, None, {}, error=errors[number]) if number in errors else next(found)
            for number, name in enumerate(names)
        ]

    @contextmanager
    def _engines(self) -> Iterator[list[Engine]]:
        """Hold the engines of this process, opened; no other thread uses them meanwhile."""
        lock, engines = self._opened.setdefault(os.getpid(), (threading.Lock(), []))
        with lock:
            if opening := self._opening.pop(os.getpid(), None):
                engines += opening.result()
            engines += open_engines(self._bundle.feature_sets[len(engines) :])
            yield engines

    def _rows(self, engines: list[Engine], given: list[Given], errors: dict[int, str]) -> np.ndarray:
        """Return the features of each image that can be read; of the others put the reason into `errors`."""
        sets = zip(engines, self._bundle.feature_sets, strict=True)
        found = [_features(engine, each, given, errors) for engine, each in sets]
        read = [number for number in range(len(given)) if number not in errors]
        return np.concatenate([[rows[number] for number in read] for rows in found], axis=-1)


def predict(
    bundle: Classifier,
    images: Image | Sequence[Image],
    abstain: float | None = None,
    *,
    top_k: int | None = None,
    coverage: float | None = None,
) -> list[Prediction]:
    """Classify images, and the images in folders.

    Parameters
    ----------
    bundle : Bundle
    images : str, Path, bytes, array or image of Pillow, or an iterable of them
        Files are taken as they are; of a folder, all files named like images, however deep; of an archive,
        a Parquet or an NPZ file, all images. Each may be an address of an object store. Bytes are those of
        an image file; an array has the shape (H, W) or (H, W, C), C being 1, 3 or 4, with values in 0..255,
        and one of the shape (N, H, W, C) is N images.
    abstain : float, optional
        Call images unknown that are unlike the training images, and this share of images that
        are like them.
    top_k : int, optional
        Tell so many of the most probable labels, instead of the probability of every class.
    coverage : float, optional
        Tell the labels of a set that holds the truth for this share of images, as 0.95.

    Returns
    -------
    list of Prediction
        One for each image, in the order of `images`, also where one is named twice; a folder is
        expanded in its place. An image that cannot be read has its reason in ``error``, and so has a path
        that does not exist, or that is a pipe or a device.

    Raises
    ------
    HeadstartError
        If none of the paths exists, no image is found, the weights are not in the cache, this
        machine computes other features than those the head was trained on, or the bundle cannot
        tell what is asked.
    """
    return Predictor(bundle)(images, abstain, top_k=top_k, coverage=coverage)


def _expanded(images: Image | Sequence[Image]) -> Iterator[Given]:
    """Yield single images, those of a folder or an archive in its place."""
    if isinstance(images, np.ndarray) and is_one_image(images):
        images = images[np.newaxis]
    given = images if isinstance(images, np.ndarray) else as_list(images)
    if not len(given):
        image_files([])  # says that there are none
    for _, group in groupby(checked_images(given), is_path):
        several = list(group)
        paths = [image for image in several if isinstance(image, str | PathLike)]
        yield from image_files(paths) if paths else several


def _features(
    engine: Engine, each: FeatureSet, given: list[Given], errors: dict[int, str]
) -> dict[int, np.ndarray]:
    """Return the features of a feature set by image; of images that cannot be read, the reason."""
    rows: dict[int, np.ndarray] = {}
    dim: list[int] = []
    items = _bytes_of(given, each.recipe, errors)
    for number, result in compute_features(engine, each.recipe, items, dim=dim.append):
        if isinstance(result, ImageError):
            errors[number] = str(result)
        else:
            rows[number] = each.columns(result)
    if dim:
        warn_of_dim([name_of(given[number], number) for number in sorted(dim)])
    return rows


def image_files(paths: Iterable[str | PathLike]) -> list[Given]:
    """List the images that paths name, in their order; what folders hold besides is counted in the log.

    An address of an object store names an image where it ends as such, or an archive, else a folder.

    Raises
    ------
    HeadstartError
        If none of the paths exists, a folder cannot be listed or there are no images.
    """
    files: list[Given] = []
    given = [fspath(path) for path in paths]
    several = {path for path in given if Path(path).suffix.lower() not in IMAGE_SUFFIXES and holds_many(path)}
    if given and not several and all(not is_url(path) and is_missing(path) for path in given):
        raise NotFoundError(
            f"there is no image {printable(given[0])!r}",
            "image files, folders or archives",
            "a path that does not exist" if len(given) == 1 else f"{len(given)} paths, of which none exists",
            "check the path",
        )
    for path in given:
        if path in several:
            files += _images_in(path, alone=len(given) == 1)
        elif os.path.isdir(path) or (is_url(path) and Path(shown(path)).suffix.lower() not in IMAGE_SUFFIXES):
            files += _images_below(path)
        elif path.lower().endswith(_TABLES) and os.path.isfile(path):
            files.append(Unread(path, "a table: --list takes paths, a line each; `extract run` takes tables"))
        else:
            files.append(path if is_url(path) else Path(path))
    if not files:
        raise HeadstartError(
            "no images were found",
            "image files, or folders with images",
            ", ".join(printable(shown(path)) for path in given) or "no paths",
            "name other files or folders",
        )
    return files


def _images_below(folder: str) -> list[Given]:
    tree = read_tree(folder)
    for line in tree.warnings():
        _log.warning("warning: %s", line)
    if is_url(folder):
        return [below(folder, path) for path in sorted(tree.images)]
    return [Path(folder) / path for path in sorted(tree.images)]


def _images_in(path: str, alone: bool) -> list[Given]:
    """Return the images in a file of many; one of several such files that cannot be opened is `Unread`."""
    try:
        opened = open_many(path)
    except HeadstartError as error:
        told = _without_options(error, path)
        if alone:
            raise told from error
        return [Unread(path, f"{told.happened}: {told.received}")]
    for line in opened.warnings:
        _log.warning("warning: %s", line.partition("; --")[0])  # less the option that an extraction has
    ids_are_paths = BRACES.search(path) or opened.describe()["kind"] == "files"
    place = path.rpartition("/")[0] if ids_are_paths else path
    return [Inside(opened, row, place) for row in opened.rows]


def _without_options(error: HeadstartError, path: str) -> HeadstartError:
    """Return an error that does not advise options of sources, which are those of an extraction."""
    if "--" not in error.todo:
        return error
    run = f"python -m extract run {shell_word(path)}"
    todo = f"extract it, and classify the feature file; there, {error.todo}: {run}"
    return HeadstartError(error.happened, error.expected, error.received, todo)


def _bytes_of(given: list[Given], recipe: Recipe, errors: dict[int, str]) -> Iterator[tuple[int, bytes]]:
    """Yield the bytes of images by number, and put the others into `errors`."""
    for number, data in enumerate(bytes_of(given, recipe.exif_orientation)):
        if isinstance(data, HeadstartError):
            raise data
        if isinstance(data, bytes):
            yield number, data
        else:
            errors[number] = why_unreadable(data)
