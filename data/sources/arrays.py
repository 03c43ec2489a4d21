"""Arrays that you already have, also from an NPZ file; scikit-learn's digits."""

import io
import os
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from data.errors import HeadstartError
from data.lists import as_list
from data.npy import how_to_scale
from data.sources.labels import index_labels, label_text, label_warnings
from data.sources.rows import Rows
from data.sources.source import Row, Source
from data.splits import split_name
from data.text import counted, one_line, some_of

Column = Sequence[object] | np.ndarray  # a value for each image
DIGITS = "digits"  # the sample


@dataclass(frozen=True)
class ArraySource(Source):
    """Images in one array; make it with `from_arrays`.

    Attributes
    ----------
    images : ndarray of shape (N, H, W) or (N, H, W, C)
        Grey, RGB or RGBA in 0..255.
    class_names : tuple of str
    rows : sequence of Row
        The id is the index, eight digits long.
    kind : str
        For `describe`.
    warnings : tuple of str
    location : str or None
        Of the file that the arrays come from.
    """

    images: np.ndarray = field(repr=False)
    class_names: tuple[str, ...]
    rows: Sequence[Row] = field(repr=False)
    kind: str = "arrays"
    warnings: tuple[str, ...] = ()
    location: str | None = None

    def describe(self) -> dict:
        return {"kind": self.kind}

    def read(self, rows: Iterable[Row]) -> Iterator[bytes | OSError]:
        for row in rows:
            yield npy_bytes(self.images[int(row.id)])

    def address(self) -> dict[str, Any] | None:
        """Return by what they are opened again, if they come from a file or are a sample of ours."""
        return {"text": DIGITS} if self.kind == DIGITS else super().address()


def npy_bytes(image: np.ndarray) -> bytes:
    """Return the canonical ``.npy`` bytes of one image: C order, little endian, version 1.0.

    Examples
    --------
    >>> npy_bytes(np.zeros((2, 2), np.uint8))[:8]
    b'\\x93NUMPY\\x01\\x00'
    """
    buffer = io.BytesIO()
    image = np.ascontiguousarray(image, dtype=image.dtype.newbyteorder("<"))
    np.lib.format.write_array(buffer, image, version=(1, 0), allow_pickle=False)
    return buffer.getvalue()


def from_arrays(
    images: ArrayLike,
    labels: Column,
    splits: Column | None = None,
    *,
    class_names: Column | None = None,
    kind: str = "arrays",
) -> ArraySource:
    """Make a source of images in memory.

    Parameters
    ----------
    images : array_like of shape (N, H, W) or (N, H, W, C)
        C is 1, 3 or 4; values in 0..255.
    labels : sequence of N str or int
        None, NaN, empty text and, among whole numbers, -1 mean unknown.
    splits : sequence of N str, optional
        ``train``, ``val``, ``validation``, ``test`` or empty.
    class_names : sequence of str, optional
        Names of the integer labels 0, 1, ...

    Raises
    ------
    HeadstartError
        If lengths differ, or images have another shape or leave 0..255.

    Examples
    --------
    >>> source = from_arrays(np.full((2, 8, 8), 255, np.uint8), ["cat", "dog"])
    >>> source.rows[1].label, source.class_names
    (1, ('cat', 'dog'))
    """
    images = _checked_images(images)
    given = _column("labels", labels, len(images))
    placed = [None] * len(images) if splits is None else _column("splits", splits, len(images))
    names, indices = index_labels(given) if class_names is None else _named(class_names, given)
    warnings = tuple(label_warnings(given, named=class_names is not None))
    rows = Rows(
        Row(f"{number:08d}", label, split_name(label_text(split), "splits"))
        for number, (label, split) in enumerate(zip(indices, placed, strict=True))
    )
    return ArraySource(images, names, rows, kind, warnings)


def open_npz(path: str | Path) -> ArraySource:
    """Open an NPZ file with ``images[,labels][,splits][,class_names]``.

    Raises
    ------
    HeadstartError
        If it is not an NPZ file, holds pickled objects or lacks the array of images.
    """
    try:
        with open(path, "rb") as opened, np.lib.npyio.NpzFile(opened, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, KeyError, MemoryError, zipfile.BadZipFile, zlib.error) as error:
        raise HeadstartError(
            f"{str(path)!r} cannot be read as an NPZ file",
            "a file that numpy.savez wrote, without pickled objects",
            one_line(error),
            "write it again: numpy.savez(path, images=..., labels=...); text as a numpy str array",
        ) from error
    if "images" not in arrays:
        raise HeadstartError(
            f"{str(path)!r} lacks the array 'images'",
            "the array images, and perhaps labels, splits and class_names",
            ", ".join(sorted(arrays)) or "no arrays",
            "write it again: numpy.savez(path, images=..., labels=...)",
        )
    other = sorted(set(arrays) - {"images", "labels", "splits", "class_names"})
    names, count = arrays.get("class_names"), np.shape(arrays["images"])[:1]
    labels = arrays.get("labels", np.full(count, ""))
    source = from_arrays(arrays["images"], labels, arrays.get("splits"), class_names=names, kind="npz")
    told = [f"{str(path)!r}: arrays that are not read: {some_of(other, 5)}"] if other else []
    if "labels" not in arrays:
        told.append(f"no array of labels: {counted(len(source.rows), 'image')} without a label")
    return replace(source, warnings=(*told, *source.warnings), location=os.path.abspath(path))


def _named(class_names: Column, labels: Sequence[object]) -> tuple[tuple[str, ...], list[int]]:
    names = tuple(label_text(name) for name in as_list(class_names))
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise HeadstartError(
            "two classes have one name", "a name for each class", f"{twice!r} twice", "rename one of them"
        )
    indices = [-1 if label_text(label) == "" else _whole(label) for label in labels]
    allowed = range(-1, len(names))
    known = [index for index in indices if index is not None and index in allowed]
    if len(known) < len(labels):
        wrong = next(label for label, index in zip(labels, indices, strict=True) if index not in allowed)
        raise HeadstartError(
            "labels do not fit the class names",
            f"whole numbers from 0 to {len(names) - 1}, or -1 for unknown",
            repr(wrong),
            "give a name for each label, or leave class_names out",
        )
    return names, known


def _whole(label: object) -> int | None:
    """Return a label as a whole number, which a column with NaN holds as a float; None if it is none."""
    return int(float(label)) if isinstance(label, Real) and label == label // 1 else None


def _column(name: str, values: Column, length: int) -> list:
    """Return labels or splits as a list; a column of them, as keras.datasets has, is flattened."""
    try:
        shape: tuple[object, ...] = np.asarray(values).shape
    except ValueError:  # lists of unequal lengths
        shape = (len(values), "?")
    single = shape in ((length,), (length, 1))
    if not single and len(shape) == 2 and shape[0] == length:
        raise HeadstartError(
            f"the {name} have several values for each image",
            f"{length} {name}, one for each image",
            f"an array of shape {shape}",
            f"where they are one-hot, give {name}.argmax(1)",
        )
    if not single:
        raise HeadstartError(
            f"images and {name} have different lengths",
            f"{length} {name}, one for each image",
            f"{(shape or (1,))[0]} {name}, of shape {shape}",
            f"give each image exactly one of the {name}",
        )
    if len(shape) == 2:
        values = np.asarray(values).reshape(-1)
    return values.tolist() if isinstance(values, np.ndarray) else list(values)


def _checked_images(images: ArrayLike) -> np.ndarray:
    try:
        images = np.asarray(images)
    except ValueError as error:
        raise HeadstartError(
            "the images do not fit into one array",
            "images of one size",
            str(error),
            "give images of one size",
        ) from error
    if todo := _how_to_shape(images):
        raise HeadstartError(
            "images have a shape or a type that is not an image's",
            "numbers of shape (N, H, W) or (N, H, W, C) with C 1, 3 or 4, N 1 or more",
            f"{images.dtype} of shape {images.shape}",
            todo,
        )
    low, high = images.min(), images.max()
    if todo := how_to_scale(images.dtype, low, high):
        raise HeadstartError(
            "the values of the images are not in 0..255",
            "0..255, as image files hold",
            f"values from {low} to {high}",
            todo,
        )
    return images


def _how_to_shape(images: np.ndarray) -> str:
    """Return what to do with an array that is of no images, or "" if it is."""
    if not (images.ndim == 3 or (images.ndim == 4 and images.shape[3] in (1, 3, 4))):
        return "reshape the array; channels come last"
    if images.size == 0:
        return "give one image or more"
    return "" if images.dtype.kind in "buif" else "give whole numbers or floats in 0..255"


DIGITS_OF_EACH_CLASS = 60


def open_digits(name: str = DIGITS) -> ArraySource:
    """Open 600 of scikit-learn's handwritten digits, 8x8 pixels, 60 of each class.

    Their values 0..16 are scaled to 0..255.

    Parameters
    ----------
    name : str
        Of the sample; there is one.

    Examples
    --------
    >>> source = open_digits()
    >>> source.images.shape, int(source.images.max())
    ((600, 8, 8), 255)
    """
    from sklearn.datasets import load_digits

    digits = load_digits()
    firsts = [np.flatnonzero(digits.target == name)[:DIGITS_OF_EACH_CLASS] for name in digits.target_names]
    chosen = np.sort(np.concatenate(firsts))
    images = np.rint(digits.images[chosen] * (255 / 16)).astype(np.uint8)
    return from_arrays(images, digits.target[chosen], kind=name)
