"""Images of which a backbone sees next to nothing: enlarged small ones, near-constant, very dark ones."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from classify.audit.findings import Finding
from classify.features.image_properties import ImageProperties, image_properties
from classify.features.images import Images
from classify.features.matrix import FeatureMatrix

_ENLARGED = 1.5  # times: from there on an image is odd
_LEASTS = (  # of properties in 0..255, below which an image is odd
    ("contrast", 3.0, "nearly one colour: brightness varies by {:.1f} of 255"),
    ("brightest", 40.0, "very dark: 95 % of it is below {:.0f} of 255"),
)


class _Oddity(NamedTuple):
    found: np.ndarray  # of bool
    scores: np.ndarray
    words: Callable[[int], str]  # of an image


def odd_images(features: FeatureMatrix, images: Images) -> list[Finding]:
    """Find odd images, all of which are read; see `odd_images_of`.

    Parameters
    ----------
    features : FeatureMatrix
    images : Images
        Where they are gone, nothing is found.
    """
    return odd_images_of(features, image_properties(images)) if images.source else []


def odd_images_of(features: FeatureMatrix, properties: ImageProperties) -> list[Finding]:
    """Find images that were much enlarged for the backbone, that are near-constant, or very dark.

    Where more than half of all images were enlarged, that is one finding, which names none.

    Parameters
    ----------
    features : FeatureMatrix
    properties : ImageProperties

    Returns
    -------
    list of Finding
        The worst first, one for each image.
    """
    if not len(properties.rows):
        return []
    scale = _scale(features, properties)
    small, numbers = _small(scale, properties), properties.numbers
    common = 2 * small.found.sum() > len(scale)
    odd = [
        *([] if common else [small]),
        *(_below(numbers[name], least, text) for name, least, text in _LEASTS),
    ]
    places = np.flatnonzero(np.any([each.found for each in odd], axis=0))
    found = [_finding(features, properties, place, odd) for place in places.tolist()]
    found += [_all_small(small, scale)] if common else []
    return sorted(found, key=lambda each: -each.score)


def _scale(features: FeatureMatrix, properties: ImageProperties) -> np.ndarray:
    """Return how many times longer a side is for the backbone, of several that which enlarges most."""
    sizes = [each.recipe.image_size for each in features.feature_sets]
    height, width = (max(size[side] for size in sizes) for side in (0, 1))
    return np.maximum(height / properties.numbers["height"], width / properties.numbers["width"])


def _small(scale: np.ndarray, properties: ImageProperties) -> _Oddity:
    width, height = (properties.numbers[name] for name in ("width", "height"))

    def words(place: int) -> str:
        return f"{width[place]:.0f}x{height[place]:.0f} pixels, enlarged {scale[place]:.1f} times"

    return _Oddity(scale >= _ENLARGED, 1 - 1 / scale, words)


def _below(values: np.ndarray, least: float, text: str) -> _Oddity:
    return _Oddity(values < least, 1 - values / (2 * least), lambda place: text.format(values[place]))


def _finding(features: FeatureMatrix, properties: ImageProperties, place: int, odd: list[_Oddity]) -> Finding:
    row, kinds = int(properties.rows[place]), [each for each in odd if each.found[place]]
    return Finding(
        kind="odd image",
        score=round(max(float(each.scores[place]) for each in kinds), 6),
        reason="; ".join(each.words(place) for each in kinds),
        digest=features.digests[row].tobytes().hex(),
        id=features.ids[row],
        label=features.class_names[features.y[row]] if features.y[row] >= 0 else "",
    )


def _all_small(small: _Oddity, scale: np.ndarray) -> Finding:
    by, words = float(np.median(scale)), "images are smaller than the backbone sees them: enlarged"
    reason = (
        f"{small.found.sum()} of {len(scale)} {words} {by:.1f} times (median); try a smaller --image-size"
    )
    return Finding("odd image", round(1 - 1 / by, 6), reason)
