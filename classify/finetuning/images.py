"""Decoded images of a source by split: what a model with the backbone inside it trains on."""

import hashlib
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import numpy as np

from classify.features.applied import Applied
from classify.features.corrections import Corrections
from classify.features.rows import LabelledRows
from data.errors import HeadstartError
from data.images import ImageError
from data.sources.source import Row, Source
from data.splits import SPLIT_NAMES, split_of
from extract.engines.pipeline import decode
from extract.feature_file.contents import Contents
from extract.recipe import Recipe
from extract.run.scan import scan_source
from extract.run.worker import bytes_of


@dataclass(frozen=True)
class ImageRows:
    """Labelled images of one split.

    Attributes
    ----------
    pixels : ndarray of float32, shape (N, height, width, 3)
        RGB in 0..255, as the backbone of the recipe sees them; mapped from a temporary file,
        which the system keeps in memory where it fits.
    y : ndarray of int32, shape (N,)
        Indices into the class names.
    ids : tuple of str
    digests : ndarray of uint8, shape (N, 32)
        Sha256 of the bytes of each image.
    digest : str
        Of the images and their labels.
    rejected : dict of str to str
        Reasons by id, of the rows whose image cannot be decoded.
    """

    pixels: np.ndarray = field(repr=False)
    y: np.ndarray = field(repr=False)
    ids: tuple[str, ...] = field(repr=False)
    digests: np.ndarray = field(repr=False)
    digest: str
    rejected: dict[str, str]


Labels = Mapping[bytes, int]  # by the digest of an image; -1: it is left out
Splits = Mapping[bytes, str]  # by the digest of an image
_NONE: Labels = MappingProxyType({})
OWN: Splits = MappingProxyType({})  # what the source says, or a hash


def load_rows(
    source: Source,
    recipe: Recipe,
    training_rows: int | None = None,
    labels: Labels = _NONE,
    splits: Splits = OWN,
) -> dict[str, ImageRows]:
    """Decode the labelled images of a source, split as its feature file is, or would be.

    Parameters
    ----------
    source : Source
    recipe : Recipe
        Says the size, and how images are decoded.
    training_rows : int, optional
        So many training rows, those with the smallest digests of their images; by default all.
        Validation and test rows stay whole, so that scores compare.
    labels : mapping of bytes to int
        Corrected labels by the digest of the image; -1 leaves it out.
    splits : mapping of bytes to str
        Those of a feature file by the digest of the image, as `splits_of` returns them, for rows whose
        source names none; others have that of a hash.

    Returns
    -------
    dict of str to ImageRows
        One for each name in `data.splits.SPLIT_NAMES`; rows in the source's order.

    Raises
    ------
    HeadstartError
        If there is no room for the pixels on the disk of temporary files.

    Examples
    --------
    >>> from data.sources.source import open_source
    >>> rows = load_rows(open_source("digits"), Recipe("xception", "00", image_size=(16, 16)), 100)
    >>> {split: found.pixels.shape[0] for split, found in rows.items()}
    {'train': 100, 'validation': 49, 'test': 72}
    """
    chosen = choose_rows(source, training_rows, labels, splits)
    return {split: _decoded(source, recipe, pairs) for split, pairs in chosen.items()}


def choose_rows(
    source: Source, training_rows: int | None = None, labels: Labels = _NONE, splits: Splits = OWN
) -> dict[str, list[tuple[Row, bytes]]]:
    """Return the rows that `load_rows` decodes by split, each with the sha256 of its image.

    Examples
    --------
    >>> from data.sources.source import open_source
    >>> {split: len(pairs) for split, pairs in choose_rows(open_source("digits"), 100).items()}
    {'train': 100, 'validation': 49, 'test': 72}
    """
    chosen: dict[str, list[tuple[Row, bytes]]] = {name: [] for name in SPLIT_NAMES}
    scan = scan_source(source)
    for row, digest in zip(scan.rows, scan.digests, strict=True):
        label = row.label if digest is None else labels.get(digest, row.label)
        if digest is not None and label >= 0:
            chosen[_split(row, digest, splits)].append((replace(row, label=label), digest))
    if training_rows is not None:
        smallest = sorted(chosen["train"], key=lambda pair: (pair[1], pair[0].id))[:training_rows]
        kept = {row.id for row, _ in smallest}
        chosen["train"] = [pair for pair in chosen["train"] if pair[0].id in kept]
    return chosen


def splits_of(rows: LabelledRows | Contents) -> Splits:
    """Return the split of each image of a feature file by its digest."""
    return {
        digest.tobytes(): SPLIT_NAMES[split] for digest, split in zip(rows.digests, rows.splits, strict=True)
    }


def _split(row: Row, digest: bytes, splits: Splits) -> str:
    return row.split or splits.get(digest) or split_of(row, digest)


def corrected(
    source: Source, corrections: Corrections | None, splits: Splits = OWN
) -> tuple[Labels, Applied | None]:
    """Return the labels that corrections give to images of a source, and what they change in its rows.

    Raises
    ------
    HeadstartError
        If a label is none of the source's classes.
    """
    if corrections is None:
        return _NONE, None
    scan = scan_source(source)
    read = [(row, digest) for row, digest in zip(scan.rows, scan.digests, strict=True) if digest]
    y = np.array([row.label for row, _ in read], np.int32)
    digests = np.frombuffer(b"".join(digest for _, digest in read), np.uint8).reshape(-1, 32)
    places = np.array([SPLIT_NAMES.index(_split(*pair, splits)) for pair in read], np.int8)
    _, applied = corrections.change(y, digests, places, source.class_names)
    return corrections.labels(source.class_names), applied


def _decoded(source: Source, recipe: Recipe, pairs: Sequence[tuple[Row, bytes]]) -> ImageRows:
    pixels = _mapped((len(pairs), *recipe.image_size, 3))
    known, summary = dict(pairs), hashlib.sha256()
    kept: list[Row] = []
    rejected: dict[str, str] = {}
    for row, data in bytes_of(source, [row for row, _ in pairs]):
        image = decode(recipe, data)
        if isinstance(image, ImageError):
            rejected[row.id] = str(image)
            continue
        pixels[len(kept)] = image
        summary.update(known[row] + row.label.to_bytes(4, "little"))
        kept.append(row)
    return ImageRows(
        pixels=pixels[: len(kept)],
        y=np.array([row.label for row in kept], np.int32),
        ids=tuple(row.id for row in kept),
        digests=np.frombuffer(b"".join(known[row] for row in kept), np.uint8).reshape(-1, 32),
        digest=summary.hexdigest(),
        rejected=rejected,
    )


def _mapped(shape: tuple[int, ...]) -> np.ndarray:
    """Map an array into a temporary file that has no name, and goes with the last who uses it."""
    size = int(np.prod(shape)) * 4
    if not size:
        return np.empty(shape, np.float32)
    with tempfile.TemporaryFile() as file:
        try:
            os.posix_fallocate(file.fileno(), 0, size)
        except OSError as error:
            raise HeadstartError(
                "there is no room for the decoded images",
                f"{size / 1e6:.0f} MB in {tempfile.gettempdir()!r}",
                str(error),
                "make room there, name another folder in TMPDIR, or take fewer images with --rows",
            ) from error
        return np.memmap(file, np.float32, "r+", shape=shape)
