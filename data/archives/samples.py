"""Samples in tar files, as WebDataset has them: what they share in their names, and which image is theirs."""

import numpy as np

from data.archives.contents import suffix_of
from data.text import counted
from data.texts import Texts

_OF_IMAGES = {"image", "img", "input", "photo", "picture", "rgb", "orig", "original"}  # as in 1.image.png
_LOSSLESS = {".png", ".bmp", ".gif", ".tif", ".tiff"}  # what masks are kept as


def key_of(name: str) -> str:
    """Return what files of one sample share: the name up to the first dot behind its folders.

    Examples
    --------
    >>> key_of("a.b/000123.seg.png")
    'a.b/000123'
    """
    folder, slash, last = name.rpartition("/")
    return folder + slash + last.split(".")[0]


def parts_of_samples(names: Texts) -> np.ndarray:
    """Tell which images of an archive belong to another one of their sample, as a mask to its photograph.

    That is the one without another word in its name, or with a word as ``image``; of those alike, one that
    is packed with loss. Where none comes before others, all stay.

    Returns
    -------
    ndarray of bool

    Examples
    --------
    >>> parts_of_samples(Texts(["1.jpg", "1.seg.png", "2.jpg", "2.png", "3.a.png", "3.b.png"])).tolist()
    [False, True, False, True, False, False]
    """
    ranked = [(key := key_of(name), _rank(name, key)) for name in names]
    best: dict[str, tuple[bool, bool]] = {}
    for key, rank in ranked:
        best[key] = min(rank, best.get(key, rank))
    return np.fromiter((rank > best[key] for key, rank in ranked), bool, len(ranked))


def _rank(name: str, key: str) -> tuple[bool, bool]:
    words = name[len(key) + 1 :].lower().split(".")[:-1]
    return bool(words) and not _OF_IMAGES.intersection(words), suffix_of(name) in _LOSSLESS


def parts_told(parts: Texts) -> list[str]:
    """Return a line that names images which are left out, as `parts_of_samples` found them.

    Examples
    --------
    >>> parts_told(Texts(["1.seg.png"]))
    ['1 image beside another one of the sample, as 1.seg.png, left out; --include chooses others']
    """
    if not len(parts):
        return []
    count = counted(len(parts), "image")
    return [f"{count} beside another one of the sample, as {parts[0]}, left out; --include chooses others"]
