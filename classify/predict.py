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

UNKNOWN = "unknown"


@dataclass(frozen=True)
class Prediction:
    """What a head says of one image.

    Attributes
    ----------
    file : str
    label : str or None
        ``unknown`` where the image is unlike the training images; None where it cannot be read.
    probability : float or None
        Of the label.
    probabilities : dict of str to float
        Of every class.
    unknown : bool or None
        None where nobody asked.
    distance : float or None
        To the training features, see `classify.abstain.Detector`.
    error : str
        Why the image cannot be read; empty otherwise.
    """

    file: str
    label: str | None
    probability: float | None
    probabilities: dict[str, float]
    unknown: bool | None = None
    distance: float | None = None
    error: str = ""

    def to_dict(self) -> dict:
        """Return the prediction as JSON-ready values."""
        return asdict(self)


def predict(bundle, paths: Iterable[str | Path], abstain: float | None = None) -> list[Prediction]:
    """Classify image files, and the images in folders.

    Parameters
    ----------
    bundle : Bundle
    paths : iterable of str or Path
        Files are taken as they are; of a folder, all files named like images, however deep.
    abstain : float, optional
        Call images unknown that are unlike the training images, and this share of images that
        are like them.

    Returns
    -------
    list of Prediction
        In the order of `paths`; an image that cannot be read has its reason in ``error``.

    Raises
    ------
    HeadstartError
        If a path does not exist, no image is found, the weights are not in the cache, this
        machine computes other features than those the head was trained on, or the bundle cannot
        tell what is unknown.
    """
    threshold = _threshold(bundle, abstain)
    files = image_files(paths)
    errors: dict[Path, str] = {}
    found = [_features(each, files, errors) for each in bundle.feature_sets]
    read = [path for path in files if path not in errors]
    if not read:
        return [_unread(path, errors[path]) for path in files]
    X = np.concatenate([[rows[path] for path in read] for rows in found], axis=1)
    distances = [None] * len(read) if threshold is None else bundle.detector.score(X).tolist()
    rows = dict(zip(read, zip(bundle.predict_proba(X), distances, strict=True), strict=True))
    return [
        _unread(path, errors[path])
        if path in errors
        else _prediction(path, bundle.class_names, *rows[path], threshold)
        for path in files
    ]


def _threshold(bundle, abstain: float | None) -> float | None:
    if abstain is not None and bundle.detector is None:
        raise HeadstartError(
            "the bundle cannot tell which images are unknown",
            "a head that was trained with validation rows",
            "a bundle without their distances",
            "train it again: python -m classify train FILE.h5; or leave --abstain out",
        )
    return None if abstain is None else bundle.detector.threshold(abstain)


def _features(each, files: list[Path], errors: dict[Path, str]) -> dict[Path, np.ndarray]:
    """Return the features of a feature set by image; of images that cannot be read, the reason."""
    ensure_weights(each.recipe.backbone, each.recipe.weights, each.weights.get("name", "unknown"))
    engine = open_engine("auto", each.recipe)
    if each.probe:
        check_probes(engine, each.recipe, [("the bundle", each.engine, each.probe)])
    chosen = [each.recipe.layers.index(name) for name in each.layers]
    rows = {}
    for path, result in compute_features(engine, each.recipe, _readable(files, errors)):
        if isinstance(result, ImageError):
            errors[path] = str(result)
        else:
            rows[path] = np.concatenate([result[number] for number in chosen])
    return rows


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


def _unread(path: Path, error: str) -> Prediction:
    return Prediction(printable(str(path)), None, None, {}, error=error)


def _prediction(
    path: Path,
    class_names: tuple[str, ...],
    proba: np.ndarray,
    distance: float | None,
    threshold: float | None,
) -> Prediction:
    best = class_names[int(proba.argmax())]
    shares = {label: round(float(share), 6) for label, share in zip(class_names, proba, strict=True)}
    unknown = None if threshold is None else not distance <= threshold
    label, probability = (UNKNOWN, None) if unknown else (best, shares[best])
    return Prediction(printable(str(path)), label, probability, shares, unknown, distance)
