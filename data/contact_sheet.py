"""Contact sheets: the first images of a source, and one image under augmentation."""

import io
import math
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from data.augment import augmentation
from data.errors import HeadstartError
from data.images import ImageError, load_image
from data.names import UNKNOWN, shortened
from data.output.atomic import written_aside
from data.output.checks import check_file
from data.output.disk import writing
from data.output.ours import SIGNATURE
from data.sources.source import Row, Source, as_source

if TYPE_CHECKING:  # Matplotlib is needed to draw alone
    from matplotlib.figure import Figure

CELLS = 9
_NAME = 24  # signs of a label above its image
AUGMENTED_SIZE = (150, 150)  # pixels, as the guide resizes to before it augments
_SOFTWARE = 0x0131  # a tag of EXIF and TIFF
_FORMATS = {".jpeg": "jpeg", ".jpg": "jpeg", ".png": "png", ".tif": "tiff", ".tiff": "tiff", ".webp": "webp"}


@dataclass(frozen=True)
class Sheet:
    """What a contact sheet shows.

    Attributes
    ----------
    file : str
    images : list of dict
        ``id`` and ``label`` of each image, in the order of the sheet; label None is unknown.
    augmented : bool
        Whether one image is shown under augmentation.
    skipped : list of dict
        ``id`` and ``reason`` of each image that could not be read.
    """

    file: str
    images: list[dict]
    augmented: bool
    skipped: list[dict]

    def to_dict(self) -> dict:
        """Return the sheet as JSON-ready values."""
        return asdict(self)


def preview(source: Source | str | Path, path: str | Path, *, augment: bool = False, seed: int = 0) -> Sheet:
    """Draw the first nine images of a source, each at its own size, with their labels.

    Images that cannot be read are skipped, and the next ones take their place.

    Parameters
    ----------
    source : Source, str or Path
    path : str or Path
        Gets the sheet; its suffix says the format, and a sheet that is there is replaced.
    augment : bool
        Draw nine augmentations of the first image instead.
    seed : int
        Of the augmentation.

    Raises
    ------
    HeadstartError
        If no image can be read, or the sheet cannot be written there.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from data.sources.source import open_source
    >>> with TemporaryDirectory() as folder:
    ...     sheet = preview(open_source("digits"), f"{folder}/sheet.png")
    >>> [image["label"] for image in sheet.images]
    ['0', '1', '2', '3', '4', '5', '6', '7', '8']
    """
    path, opened = Path(path), as_source(source)
    _check_output(path)
    skipped: list[dict] = []
    size = AUGMENTED_SIZE if augment else None
    found = list(islice(_readable(opened, size, skipped), 1 if augment else CELLS))
    if not found:
        raise HeadstartError(
            "no image of the source can be read",
            "one image or more",
            f"{len(skipped)} that cannot; the first, {skipped[0]['id']}: {skipped[0]['reason']}",
            "mend the images, or name another source",
        )
    shown = [{"id": row.id, "label": _label(opened, row)} for row, _ in found]
    pixels = [image for _, image in found]
    if augment:
        pixels = _augmented(pixels[0], seed)
    _write(path, _draw(pixels, [shortened(image["label"] or UNKNOWN, _NAME) for image in shown]))
    return Sheet(str(path), shown, augment, skipped)


def _check_output(path: Path) -> None:
    if path.suffix.lower() not in _FORMATS:
        raise HeadstartError(
            f"{str(path)!r} is not named like an image",
            f"a name that ends in {', '.join(_FORMATS)}",
            f"the suffix {path.suffix!r}" if path.suffix else "no suffix",
            "choose another name with -o",
        )
    check_file(path, "figure")


def _readable(
    source: Source, size: tuple[int, int] | None, skipped: list[dict]
) -> Iterator[tuple[Row, np.ndarray]]:
    """Yield rows with their pixels; note those that cannot be read."""
    for row, data in zip(source.rows, source.read(source.rows), strict=True):
        if isinstance(data, OSError):
            skipped.append({"id": row.id, "reason": f"cannot be read: {data.strerror or data}"})
            continue
        try:
            yield row, load_image(data, size)
        except ImageError as error:
            skipped.append({"id": row.id, "reason": str(error)})


def _label(source: Source, row: Row) -> str | None:
    return source.class_names[row.label] if row.label >= 0 else None


def _augmented(image: np.ndarray, seed: int) -> list[np.ndarray]:
    return list(np.asarray(augmentation(seed)(np.stack([image] * CELLS), training=True)))


def _draw(images: list[np.ndarray], labels: list[str]) -> "Figure":
    """Draw images in rows of three; one label serves them all, or each has its own."""
    from matplotlib.figure import Figure

    columns = math.isqrt(CELLS)
    figure = Figure(figsize=(8, 8), layout="constrained")
    grid = figure.subplots(columns, columns)
    for axes in grid.flat:
        axes.axis("off")
    for axes, image, label in zip(grid.flat, images, labels * (len(images) // len(labels)), strict=False):
        axes.imshow(np.rint(image).astype(np.uint8))
        axes.set_title(label, parse_math=False)
    return figure


def _write(path: Path, figure: "Figure") -> None:
    """Draw into memory first, so that a failure to draw leaves no half file."""
    drawn = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)  # names in any script
        figure.savefig(drawn, **_signed(_FORMATS[path.suffix.lower()]))
    with writing(path, "or choose another output with -o"), written_aside(path) as aside:
        aside.write_bytes(drawn.getvalue())


def _signed(format: str) -> dict:
    """Return how Matplotlib saves a picture that says who drew it, so that it is never taken for data."""
    from PIL import Image

    if format == "png":
        return {"format": format, "metadata": {"Software": SIGNATURE}}
    exif = Image.Exif()
    exif[_SOFTWARE] = SIGNATURE
    return {"format": format, "pil_kwargs": {"exif": exif.tobytes()}}
