"""Do we compute the features that were stored? One fixed image tells, before any other is computed."""

from collections.abc import Iterable, Sequence
from functools import partial

import numpy as np

from data.errors import HeadstartError
from extract.engines.engine import Engine
from extract.recipe import EngineInfo, Probe, Recipe


def relative_difference(one: np.ndarray, other: np.ndarray) -> float:
    """Return the largest difference as a share of max(1, |value|); infinite where shapes differ.

    Examples
    --------
    >>> relative_difference(np.array([1.0, 20.0]), np.array([1.0, 22.0]))
    0.09090909090909091
    """
    if one.shape != other.shape:
        return float("inf")
    return float((np.abs(one - other) / np.maximum(1, np.abs(other))).max())


def relative_distance(one: np.ndarray, other: np.ndarray) -> float:
    """Return the Euclidean distance as a share of the other's norm; infinite where shapes differ.

    Examples
    --------
    >>> relative_distance(np.array([1.0, 4.0]), np.array([0.0, 4.0]))
    0.25
    """
    if one.shape != other.shape:
        return float("inf")
    distance, norm = np.linalg.norm(one - other), np.linalg.norm(other)
    return float(distance / norm) if norm else float("inf") if distance else 0.0


# By precision: how features are compared, and by how much they may differ. In float32 engines differ by 1e-5,
# another preprocessing by 5e-3 and more. In bfloat16 each layer rounds to 8 bits, in another order in another
# engine: single values may differ by anything, whole features by 0.03 of their norm; another preprocessing
# makes 0.07 and more of it.
_EXACT = (relative_difference, 1e-4)
_COMPARED = {"float32": _EXACT, "float16": _EXACT, "bfloat16": (relative_distance, 0.05)}
_NOTHING = 1e-8  # features that differ by less than this say nothing


def _features(engine: Engine, image: np.ndarray) -> list[np.ndarray]:
    """Return what an engine computes of one image, for each layer."""
    return [rows[0] for rows in engine(image[np.newaxis])]


def difference(recipe: Recipe, mine: np.ndarray, stored: np.ndarray) -> float:
    """Return how far two features of one image are apart, as the recipe's precision allows to judge."""
    measure, _ = _COMPARED[recipe.precision]
    return measure(mine, stored)


def tolerance(recipe: Recipe) -> float:
    """Return the `difference` up to which two features of one image count as the same.

    Examples
    --------
    >>> tolerance(Recipe("xception", "00")), tolerance(Recipe("xception", "00", precision="bfloat16"))
    (0.0001, 0.05)
    """
    _, allowed = _COMPARED[recipe.precision]
    return allowed


def check_probes(engine: Engine, recipe: Recipe, probes: Sequence[Probe]) -> list[np.ndarray]:
    """Compute the probe image's features and compare them with stored ones.

    Parameters
    ----------
    engine : Engine
    recipe : Recipe
    probes : sequence of Probe

    Returns
    -------
    list of ndarray of shape (D,)
        The features, one for each layer of the recipe.

    Raises
    ------
    HeadstartError
        As `check_probe` raises it; if a feature is no finite number; if all are those of another image too.
    """
    image = probe_image(recipe.image_size)
    ours, others, again = (_features(engine, each) for each in (image, 255 - image, image))
    if not all(np.isfinite(feature).all() for feature in (*ours, *others)):
        raise HeadstartError(
            "the backbone gives features that are no numbers",
            "finite numbers for an image",
            "NaN or infinity, of the probe image",
            "check --scaling, --precision and the weights of the model",
        )
    if (apart := max(map(partial(difference, recipe), again, ours))) > tolerance(recipe):
        raise HeadstartError(
            "the backbone gives other features for the same image each time",
            f"the same ones, within {tolerance(recipe):g}",
            f"a difference of {apart:.3g} between two runs of the probe image",
            "take out what is random in the model, as noise or dropout that stays on",
        )
    if all(
        np.allclose(one, other, rtol=1e-6, atol=_NOTHING) for one, other in zip(ours, others, strict=True)
    ):
        raise HeadstartError(
            "the backbone gives the same features for other images",
            "features that tell the probe image from its negative",
            f"{sum(map(len, ours))} values that are the same for both",
            "check --layer, --scaling and the weights of the model",
        )
    if probes:
        mine = Probe("this machine", engine.describe(), dict(zip(recipe.layers, ours, strict=True)))
        for probe in probes:
            check_probe(recipe, mine, probe)
    return ours


def check_probe(recipe: Recipe, mine: Probe, stored: Probe) -> None:
    """Compare the probe image's features of one machine with those of another.

    Parameters
    ----------
    recipe : Recipe
    mine, stored : Probe

    Raises
    ------
    HeadstartError
        If they differ by more than `tolerance`, or two kinds of int8 made them.
    """
    check_arithmetic([(stored.place, stored.engine), (mine.place, mine.engine)])
    apart = max(difference(recipe, mine.features[name], stored.features[name]) for name in recipe.layers)
    if not apart <= tolerance(recipe):
        raise HeadstartError(
            f"{mine.place} computes other features than those in {stored.place}",
            f"that of the probe image within {tolerance(recipe):g}, as computed by {stored.engine}",
            f"a difference of {apart:.3g}, computed by {mine.engine}",
            "use the versions that computed the stored rows, or extract into a new file with -o",
        )


def check_arithmetic(made: Iterable[tuple[str, EngineInfo]]) -> None:
    """Raise if rows that are to stand in one file were, or would be, computed by two kinds of int8.

    Parameters
    ----------
    made : iterable of (str, EngineInfo)
        Places, and what computes or computed there; where the arithmetic is not named, nothing is told.

    Raises
    ------
    HeadstartError

    Examples
    --------
    >>> check_arithmetic([("one.h5", EngineInfo("openvino")), ("two.h5", EngineInfo("keras"))])
    """
    places: dict[str, str] = {}
    for place, engine in made:
        if engine.arithmetic:
            places.setdefault(engine.arithmetic, place)
    if len(places) > 1:
        (expected, first), (received, second), *_ = places.items()
        other = f"other int8 rows of {first}" if first == second else f"that of {first}"
        raise HeadstartError(
            f"{second} computes int8 by another arithmetic than {other}",
            expected,
            received,
            "compute all rows on CPUs of one kind, or those of each kind into a file of its own with -o",
        )


def probe_image(size: tuple[int, int]) -> np.ndarray:
    """Return one fixed synthetic image, whose feature proves that a reader computes the same.

    Returns
    -------
    ndarray of float32, shape (height, width, 3)
        Whole numbers in 0..255, smooth in places and rough in others.

    Examples
    --------
    >>> probe_image((2, 2))[1, 1].tolist()
    [49.0, 78.0, 107.0]
    """
    rows, columns, channels = np.meshgrid(*map(np.arange, (*size, 3)), indexing="ij")
    return ((rows * 7 + columns * 13 + channels * 29 + rows * columns * 29) % 256).astype(np.float32)
