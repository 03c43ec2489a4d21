"""New images to labels, by the recipe in the bundle."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from data.errors import HeadstartError
from data.folder import IMAGE_SUFFIXES, printable
from data.images import ImageError
from extract.engines import open_engine
from extract.parity import check_probes
from extract.weights import ensure_weights
from extract.worker import compute_features


@dataclass(frozen=True)
class Prediction:
    """What a head says of one image.

    Attributes
    ----------
    file : str
    label : str or None
        None where the image cannot be read.
    probability : float or None
        Of the label.
    probabilities : dict of str to float
        Of every class.
    error : str
        Why the image cannot be read; empty otherwise.
    """

    file: str
    label: str | None
    probability: float | None
    probabilities: dict[str, float]
    error: str = ""

    def to_dict(self) -> dict:
        """Return the prediction as JSON-ready values."""
        return asdict(self)


def predict(bundle, paths: Iterable[str | Path]) -> list[Prediction]:
    """Classify image files, and the images in folders.

    Parameters
    ----------
    bundle : Bundle
    paths : iterable of str or Path
        Files are taken as they are; of a folder, all files named like images, however deep.

    Returns
    -------
    list of Prediction
        In the order of `paths`; an image that cannot be read has its reason in ``error``.

    Raises
    ------
    HeadstartError
        If a path does not exist, no image is found, the weights are not in the cache, or this
        machine computes other features than those the head was trained on.
    """
    files = image_files(paths)
    ensure_weights(bundle.recipe.backbone, bundle.recipe.weights, bundle.weights.get("name", "unknown"))
    engine = open_engine("auto", bundle.recipe)
    if bundle.probe:
        check_probes(engine, bundle.recipe, [("the bundle", bundle.provenance["engine"], bundle.probe)])
    errors: dict[Path, str] = {}
    rows: dict[Path, np.ndarray] = {}
    chosen = [bundle.recipe.layers.index(name) for name in bundle.layers]
    for path, result in compute_features(engine, bundle.recipe, _readable(files, errors)):
        if isinstance(result, ImageError):
            errors[path] = str(result)
        else:
            rows[path] = np.concatenate([result[number] for number in chosen])
    proba = dict(zip(rows, bundle.predict_proba(np.array(list(rows.values()))), strict=True)) if rows else {}
    return [_prediction(path, bundle.class_names, proba.get(path), errors.get(path, "")) for path in files]


def image_files(paths: Iterable[str | Path]) -> list[Path]:
    """List the images that paths name, each once.

    Raises
    ------
    HeadstartError
        If a path does not exist or there are no images.
    """
    files: dict[Path, None] = {}
    given = [Path(path) for path in paths]
    for path in given:
        if not path.exists():
            raise HeadstartError(
                f"there is no image {printable(str(path))!r}",
                "image files or folders",
                "a path that does not exist",
                "check the path",
            )
        files |= dict.fromkeys(_images_below(path) if path.is_dir() else [path])
    if not files:
        raise HeadstartError(
            "no images were found",
            "image files, or folders with images",
            ", ".join(printable(str(path)) for path in given) or "no paths",
            "name other files or folders",
        )
    return list(files)


def _images_below(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in IMAGE_SUFFIXES
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )


def _readable(files: list[Path], errors: dict[Path, str]) -> Iterable[tuple[Path, bytes]]:
    for path in files:
        try:
            yield path, path.read_bytes()
        except OSError as error:
            errors[path] = f"cannot be read: {error.strerror or error}"


def _prediction(path: Path, class_names: tuple[str, ...], proba: np.ndarray | None, error: str) -> Prediction:
    name = printable(str(path))
    if proba is None:
        return Prediction(name, None, None, {}, error)
    best = int(proba.argmax())
    shares = {label: round(float(share), 6) for label, share in zip(class_names, proba, strict=True)}
    return Prediction(name, class_names[best], shares[class_names[best]], shares)
