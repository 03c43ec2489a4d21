"""Images as a caller has them: paths, encoded bytes, arrays, images of Pillow."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from os import PathLike, fspath
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
from PIL import Image as Pillow

from data.errors import HeadstartError
from data.images import pillow_pixels
from data.lists import as_list
from data.npy import how_to_scale, is_npy, npy_array
from data.sources.arrays import npy_bytes
from data.sources.source import Row, Source
from data.stores.files import read
from data.stores.urls import is_url, shown
from data.text import printable


@dataclass(frozen=True, eq=False)
class Inside:
    """An image of a source, as an archive is one.

    Attributes
    ----------
    source : Source
    row : Row
    place : str
        What stands before the ids of its rows.
    """

    source: Source
    row: Row
    place: str


@dataclass(frozen=True)
class Unread:
    """What was given and holds images, none of which can be read.

    Attributes
    ----------
    place, reason : str
    """

    place: str
    reason: str


Image = str | PathLike[str] | bytes | np.ndarray | Pillow.Image
_KINDS = (str, PathLike, bytes, np.ndarray, Pillow.Image)


def checked_images(X: object) -> list[Image]:
    """Return images as a list, or raise for what is neither a sequence of images nor one of them.

    Parameters
    ----------
    X : sequence of images, or array of shape (N, H, W) or (N, H, W, C)
        A text, a path, bytes or an image of Pillow is one image.

    Raises
    ------
    HeadstartError

    Examples
    --------
    >>> checked_images("cat.jpg"), len(checked_images(np.zeros((2, 8, 8, 3), np.uint8)))
    (['cat.jpg'], 2)
    """
    if isinstance(X, dict) or not (isinstance(X, _KINDS) or hasattr(X, "__len__")):
        raise _no_images("this", type(X).__name__)
    if hasattr(X, "__array__"):  # arrays, and columns of pandas
        X = np.asarray(X)
        _check_array(X)
    images = as_list(X)
    wrong = [image for image in images if not isinstance(image, _KINDS)]
    if wrong or not images:
        raise _no_images("something else", repr(wrong[0])[:100] if wrong else "no images")
    _check_values([image for image in images if isinstance(image, np.ndarray) and image.size])
    return images


def is_one_image(X: object) -> bool:
    """Tell whether an array is one image, (H, W) or (H, W, C), rather than several.

    Examples
    --------
    >>> is_one_image(np.zeros((8, 8, 3))), is_one_image(np.zeros((5, 8, 8)))
    (True, False)
    """
    return isinstance(X, np.ndarray) and (X.ndim == 2 or (X.ndim == 3 and X.shape[2] in (1, 3, 4)))


def is_path(image: Image | Inside | Unread) -> TypeGuard[str | PathLike[str]]:
    """Tell whether an image is given by its path."""
    return isinstance(image, str | PathLike)


def encoded(image: Image, exif_orientation: bool = True) -> bytes:
    """Return the bytes of an image: its file's, or those of an ``.npy`` file of its pixels.

    Parameters
    ----------
    image : Image
    exif_orientation : bool
        Turn an image of Pillow as its EXIF tag says; the others are turned when they are decoded.

    Raises
    ------
    OSError
        If a file cannot be read.
    ValueError
        If a path or an image of Pillow is none.
    """
    if isinstance(image, bytes):
        return image
    if isinstance(image, Pillow.Image):
        image = pillow_pixels(image, exif_orientation)
    return npy_bytes(image) if isinstance(image, np.ndarray) else _bytes_at(fspath(image))


def bytes_of(
    images: Sequence[Image | Inside | Unread], exif_orientation: bool = True
) -> Iterator[bytes | Exception]:
    """Yield what `encoded` returns of each image, or the error that says why it cannot be.

    Images in object stores are read ahead, those in a source in its own way.
    """
    fetched = read(fspath(image) for image in images if _is_address(image))
    for source, several in groupby(images, lambda image: image.source if isinstance(image, Inside) else None):
        if source:
            yield from source.read([image.row for image in several if isinstance(image, Inside)])
            continue
        for image in several:
            yield next(fetched) if _is_address(image) else _read(image, exif_orientation)


def _is_address(image: object) -> TypeGuard[str | PathLike[str]]:
    return isinstance(image, str | PathLike) and is_url(fspath(image))


def _read(image: Any, exif_orientation: bool) -> bytes | Exception:
    if isinstance(image, Unread):
        return OSError(image.reason)
    try:
        return encoded(image, exif_orientation)
    except HeadstartError:
        raise
    except (OSError, ValueError) as error:
        return error


def name_of(image: Image | Inside | Unread, number: int) -> str:
    """Return what to call an image: its path or address, or what it is and its number.

    Examples
    --------
    >>> name_of("cat.jpg", 0), name_of(b"...", 1), name_of(np.zeros((8, 8)), 2)
    ('cat.jpg', 'bytes 1', 'array 2')
    """
    if isinstance(image, Unread):
        return printable(shown(image.place))
    if isinstance(image, Inside):
        return printable("/".join(filter(None, (shown(image.place), image.row.id))))
    if is_path(image):
        return printable(shown(fspath(image)))
    kinds = {bytes: "bytes", np.ndarray: "array", Pillow.Image: "image"}
    return f"{next(kind for of, kind in kinds.items() if isinstance(image, of))} {number}"


def why_unreadable(error: Exception) -> str:
    """Return in one line why an image cannot be read."""
    return f"cannot be read: {getattr(error, 'strerror', None) or error}"


def _bytes_at(place: str) -> bytes:
    path = Path(place)
    if not is_url(place) and path.exists() and not (path.is_file() or path.is_dir()):
        raise ValueError("a pipe or a device")  # which may never end, or never begin
    [data] = read([place])
    if isinstance(data, OSError):
        raise data
    if is_npy(data):
        _check_scale(npy_array(data))
    return data


def _check_scale(array: np.ndarray) -> None:
    """Refuse an array that is named alone if its values look scaled."""
    low, high = array.min(), array.max()
    if todo := how_to_scale(array.dtype, low, high):
        raise ValueError(f"values from {low} to {high}: {todo}")


def _check_array(X: np.ndarray) -> None:
    pixels = X.dtype.kind in "buif"
    if X.dtype.kind == "S":  # numpy cuts the zeros at their ends
        raise _no_images("bytes in an array of numpy", "an array, which loses trailing zeros", "give a list")
    if X.ndim != 1 and not (pixels and X.ndim in (3, 4)):
        raise _no_images("an array of another shape", f"{X.dtype} of shape {X.shape}")
    if X.ndim == 3 and is_one_image(X):
        raise _no_images("one image", f"the shape {X.shape}", "give X[numpy.newaxis]")


def _check_values(arrays: list[np.ndarray]) -> None:
    """Refuse arrays of True and False, and floats of which none is above 1, as scaled ones are."""
    of_bools = [array for array in arrays if array.dtype.kind == "b"]
    for several in (of_bools, arrays if all(array.dtype.kind == "f" for array in arrays) else []):
        if several:
            low, high = min(array.min() for array in several), max(array.max() for array in several)
            todo = how_to_scale(several[0].dtype, low, high)
            if todo and high <= 1:
                raise _no_images("values that are not in 0..255", f"values from {low} to {high}", todo)


def _no_images(
    what: str, received: str, todo: str = "give a sequence of images, also for a single one"
) -> HeadstartError:
    return HeadstartError(
        f"features are computed from a sequence of images, not from {what}",
        "a list of paths, bytes, images of Pillow or arrays (H, W) or (H, W, C) in 0..255, or one array "
        "(N, H, W, C)",
        received,
        todo,
    )
