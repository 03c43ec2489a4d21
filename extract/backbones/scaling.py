"""What backbones expect of pixels in 0..255: by name, or by a mean and a deviation for each channel."""

import math
from dataclasses import dataclass

from data.errors import UsageError, unknown_name

_MEAN = (0.485, 0.456, 0.406)  # of ImageNet's RGB channels in 0..1, as keras.applications has them

_STD = (0.229, 0.224, 0.225)

_ROOT = tuple(value**0.5 for value in _STD)
_LARGEST = 2.0  # of a mean or deviation of values in 0..1; larger ones are of values in 0..255


@dataclass(frozen=True)
class Scaling:
    """What a backbone expects of pixels in 0..255: ``pixels * scale + offset`` for each of three channels."""

    scale: tuple[float, ...]
    offset: tuple[float, ...]
    reverse_channels: bool = False


def _standardized(mean: tuple[float, ...], deviation: tuple[float, ...]) -> Scaling:
    pairs = list(zip(mean, deviation, strict=True))
    return Scaling(tuple(1 / (255 * std) for _, std in pairs), tuple(-m / std for m, std in pairs))


SCALINGS = {
    "none": Scaling((1.0,) * 3, (0.0,) * 3),  # the model scales by itself
    "minus_one_to_one": Scaling((1 / 127.5,) * 3, (-1.0,) * 3),
    "efficientnet_lite": Scaling((1 / 128,) * 3, (-127 / 128,) * 3),
    "imagenet_mean_std": _standardized(_MEAN, _STD),
    "bgr_minus_mean": Scaling((1.0,) * 3, (-103.939, -116.779, -123.68), reverse_channels=True),
    # With ImageNet's weights, keras.applications divides EfficientNet's normalized pixels by
    # sqrt(std) once more, inside the model; here that step is moved in front of it.
    "efficientnet": Scaling(
        tuple(1 / root for root in _ROOT),
        tuple(255 * m * (1 - 1 / root) for m, root in zip(_MEAN, _ROOT, strict=True)),
    ),
}


def scaling_of(text: str) -> Scaling:
    """Return the scaling that a recipe names.

    Parameters
    ----------
    text : str
        A name in `SCALINGS`, or ``MEAN/DEVIATION`` of values in 0..1, each one number, or three with
        commas between them.

    Raises
    ------
    UsageError
        If it is neither.

    Examples
    --------
    >>> scaling_of("0.5/0.5") == scaling_of("0.5,0.5,0.5/0.5,0.5,0.5")
    True
    >>> scaling_of("0/1").offset
    (-0.0, -0.0, -0.0)
    """
    return _standardized(*_numbers(text)) if "/" in text else _named(text)


def written(text: str) -> str:
    """Return a scaling as recipes have it: of the same numbers always the same text.

    Examples
    --------
    >>> written("0.50/.5"), written("none")
    ('0.5,0.5,0.5/0.5,0.5,0.5', 'none')
    """
    if "/" not in text:
        return text
    return "/".join(",".join(map(repr, values)) for values in _numbers(text))


def _named(text: str) -> Scaling:
    if text not in SCALINGS:
        raise unknown_name("scaling", text, SCALINGS)
    return SCALINGS[text]


def _numbers(text: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    mean, _, deviation = text.partition("/")
    try:
        values = tuple(tuple(map(float, part.split(","))) for part in (mean, deviation))
    except ValueError:
        values = ()
    every = [value for part in values for value in part]
    sound = bool(values) and {len(part) for part in values} <= {1, 3} and all(map(math.isfinite, every))
    if not sound or max(map(abs, every)) > _LARGEST or min(values[1]) <= 0:
        raise UsageError(
            "--scaling is neither a name nor MEAN/DEVIATION",
            f"{', '.join(SCALINGS)}, or numbers of values in 0..1, as 0.485,0.456,0.406/0.229,0.224,0.225",
            text,
            "correct it; numbers of values in 0..255 are to be divided by 255",
        )
    whole = [part * 3 if len(part) == 1 else part for part in values]
    return whole[0], whole[1]
