"""Images as tiles of WebP atlases, the needed ones first.

Tiles are drawn anew from pixels: of the metadata of an image, as of EXIF, nothing is left.
"""

import base64
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
from PIL import Image

from data.images import ImageError, small_image

# Takes rows, yields each with the bytes of its image or None, in any order.
Read = Callable[[Iterable[int]], Iterator[tuple[int, bytes | None]]]

SIDE = 4096  # pixels of an atlas, at most
LARGE, SMALL = 160, 80  # pixels of a tile
_QUALITY = {LARGE: 72, SMALL: 66}
_THREADS = 4
_BLOCK = 256  # images decoded at once


@dataclass(frozen=True)
class Atlas:
    """Pictures side by side in one image.

    Attributes
    ----------
    webp : bytes
    width, height : int
        Pixels.
    """

    webp: bytes = field(repr=False)
    width: int
    height: int

    def base64(self) -> str:
        """Return the file as text."""
        return base64.b64encode(self.webp).decode("ascii")


@dataclass(frozen=True)
class Pictures:
    """The pictures of a page.

    Attributes
    ----------
    atlases : tuple of Atlas
    large, small : dict of int to tuple of int
        By row: atlas, x, y, width, height of its tile.
    missing : int
        Rows that were asked for, and whose image is not there, or cannot be decoded.
    left_out : int
        Rows whose picture would have made the page too large.
    """

    atlases: tuple[Atlas, ...] = ()
    large: dict[int, tuple[int, ...]] = field(default_factory=dict)
    small: dict[int, tuple[int, ...]] = field(default_factory=dict)
    missing: int = 0
    left_out: int = 0


def take_pictures(read: Read, large: Sequence[int], small: Sequence[int], room: int) -> Pictures:
    """Draw tiles of rows, those asked for first where there is no room for all.

    Parameters
    ----------
    read : callable
        As `classify.features.images.Images.each`.
    large, small : sequence of int
        Rows that get a tile of that kind, the most needed first.
    room : int
        Bytes that all atlases may take.
    """
    order = [*dict.fromkeys([*large, *small])]
    sides = dict.fromkeys(small, SMALL) | dict.fromkeys(large, LARGE)
    tiles = {row: tile for row, tile in _decoded(read, order, sides) if tile is not None}
    atlases, places = _within(tiles, LARGE, [row for row in large if row in tiles], room * 6 // 10)
    left = room - sum(len(atlas.webp) for atlas in atlases)
    more, others = _within(tiles, SMALL, [row for row in small if row in tiles], left)
    shifted = {row: (place[0] + len(atlases), *place[1:]) for row, place in others.items()}
    return Pictures(
        (*atlases, *more),
        places,
        shifted,
        missing=len(order) - len(tiles),
        left_out=len(tiles.keys() - places.keys() - shifted.keys()),
    )


def _decoded(
    read: Read, rows: Sequence[int], sides: Mapping[int, int]
) -> Iterator[tuple[int, Image.Image | None]]:
    """Yield rows and their tiles; files are read in this thread, and decoded in others."""
    encoded = read(rows)
    with ThreadPoolExecutor(_THREADS) as threads:
        while block := list(islice(encoded, _BLOCK)):
            drawn = threads.map(lambda each: _tile(each[1], sides[each[0]]), block)
            yield from zip((row for row, _ in block), drawn, strict=True)


def _tile(encoded: bytes | None, side: int) -> Image.Image | None:
    if encoded is None:
        return None
    try:
        return _fitted(Image.fromarray(small_image(encoded, side)), side)
    except ImageError:
        return None


def _fitted(image: Image.Image, side: int) -> Image.Image:
    """Return an image whose longer side is `side`; one of few pixels shows its pixels."""
    longest = max(image.size)
    size = tuple(max(1, round(length * side / longest)) for length in image.size)
    if longest == side:
        return image
    how = Image.Resampling.NEAREST if 2 * longest <= side else Image.Resampling.LANCZOS
    return image.resize((size[0], size[1]), how, reducing_gap=2.0 if longest > side else None)


def _within(
    tiles: Mapping[int, Image.Image], side: int, rows: list[int], room: int
) -> tuple[list[Atlas], dict[int, tuple[int, ...]]]:
    """Return atlases of the first rows, as many as there is room for, and where the tile of each is."""
    while rows and room > 0:
        atlases, places = _atlases(tiles, side, rows)
        size = sum(len(atlas.webp) for atlas in atlases)
        if size <= room:
            return atlases, places
        rows = rows[: int(len(rows) * min(0.95, 0.97 * room / size))]
    return [], {}


def _atlases(
    tiles: Mapping[int, Image.Image], side: int, rows: list[int]
) -> tuple[list[Atlas], dict[int, tuple[int, ...]]]:
    across = SIDE // side
    atlases: list[Atlas] = []
    places: dict[int, tuple[int, ...]] = {}
    for number, first in enumerate(range(0, len(rows), across**2)):
        block = rows[first : first + across**2]
        columns = min(across, len(block))
        sheet = np.zeros((-(-len(block) // columns) * side, columns * side, 3), np.uint8)
        for index, row in enumerate(block):
            pixels = np.asarray(_fitted(tiles[row], side))
            height, width = pixels.shape[:2]
            x, y = index % columns * side, index // columns * side
            sheet[y : y + height, x : x + width] = pixels
            places[row] = (number, x, y, width, height)
        atlases.append(_encoded(sheet, _QUALITY[side]))
    return atlases, places


def _encoded(sheet: np.ndarray, quality: int) -> Atlas:
    stream = io.BytesIO()
    Image.fromarray(sheet).save(stream, "webp", quality=quality, method=2)
    return Atlas(stream.getvalue(), sheet.shape[1], sheet.shape[0])
