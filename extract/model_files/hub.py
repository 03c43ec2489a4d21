"""A preset of KerasHub as a backbone, with the preset's own preprocessing."""

import hashlib
import json
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import astuple
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from data.errors import HeadstartError, missing_extra
from data.resize import FILTERS, Resizing
from data.text import with_type
from extract.backbones.download import file_hash
from extract.backbones.keras_backend import keras_backend
from extract.backbones.kinds import Own
from extract.model_files.graph_parts import checked_graph, refused
from extract.model_files.keras_file import (
    built,
    check_fits,
    digest_of,
    image_size_of,
    keep_model,
    kept_before,
    kept_graph,
    with_policy,
    with_single_ends,
)

if TYPE_CHECKING:
    import keras

_PACKAGES = ("builtins", "keras", "keras_hub")
_CONFIG, _CONVERTER = "config.json", "image_converter.json"  # in a preset's folder
_LARGEST = 16 << 20  # bytes of each
_DIGITS = 7  # of a mean or a deviation: those of float32


def keep(preset: str) -> Own:
    """Keep the backbone of a preset in our cache, and what the preset does to images.

    Parameters
    ----------
    preset : str
        A folder that KerasHub wrote, or a name that it fetches.

    Raises
    ------
    HeadstartError
        If KerasHub is missing, or there is no such preset; if a folder's has parts that are not KerasHub's,
        or it takes more than an image, or pads images.
    """
    name, digest = Path(preset).name, _bytes_digest(preset)
    if kept := kept_before(digest):
        return kept
    hub = _keras_hub()
    if Path(preset).is_dir():
        _check_folder(Path(preset))
    import keras

    try:
        backbone = hub.models.Backbone.from_preset(preset)
        config = keras.saving.serialize_keras_object(backbone)
    except Exception as error:  # KerasHub raises anything on presets that it does not know
        expected = "the folder or the name of a preset of KerasHub"
        raise refused(preset, with_type(error), expected, "check the folder, or the name") from error
    graph = checked_graph(json.loads(json.dumps(config)), name, _PACKAGES)
    converter = _converter(hub, preset)
    model = with_single_ends(backbone, name)
    scaling, resizing, size = _preprocessing(converter, name)
    whole = {"backbone": graph, "scaling": scaling, "resizing": astuple(resizing), "image_size": size}
    own = Own(
        f"hub:{digest_of(whole)}",
        name,
        image_size_of(model, name),
        scaling=scaling,
        resizing=resizing,
        usual_size=size,
    )
    return keep_model(own, whole, model, f"KerasHub's preset {name}", digest)


def _bytes_digest(preset: str) -> str:
    """Return the digest of the files in a preset's folder, or of its name."""
    folder = Path(preset)
    files = sorted(path for path in folder.iterdir() if path.is_file()) if folder.is_dir() else []
    parts = [f"{path.name} {file_hash(path, 'sha256')}" for path in files] or [preset]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def build(name: str, image_size: tuple[int, int], policy: str) -> "keras.Model":
    """Build a kept backbone, weights not loaded, as `extract.model_files.keras_file.build` does."""
    _keras_hub()
    graph = deepcopy(kept_graph(name)["backbone"])
    shape = graph["config"].get("image_shape")
    if isinstance(shape, list) and None in shape[:2]:
        graph["config"]["image_shape"] = [*image_size, *shape[2:]]
    return built(with_policy(graph, policy), name)


def check_brought(whole: dict, size: int, file: str) -> None:
    """Raise for a graph that `keep` would refuse, with weights in a file of so many bytes."""
    _keras_hub()
    graph = checked_graph(whole["backbone"], file, _PACKAGES)
    check_fits(graph, size, file)


def _keras_hub() -> ModuleType:
    keras_backend()
    try:
        import keras_hub
    except ImportError as error:
        raise missing_extra("--backbone hub:PRESET needs KerasHub", "hub", str(error)) from error
    return keras_hub


def _check_folder(folder: Path) -> None:
    """Raise if what a folder says of its graph or of images has parts that are not KerasHub's."""
    for name in (_CONFIG, _CONVERTER):
        path = folder / name
        if not path.is_file():
            if name == _CONFIG:
                raise refused(folder.name, f"a folder without {_CONFIG}", "a preset that KerasHub wrote")
            continue
        if path.stat().st_size > _LARGEST:
            raise refused(folder.name, f"{name} of {path.stat().st_size} bytes", f"{_LARGEST} bytes at most")
        try:
            graph = checked_graph(json.loads(path.read_bytes()), folder.name, _PACKAGES)
            if name == _CONFIG:
                check_fits(graph, sum(file.stat().st_size for file in folder.glob("*.h5")), folder.name)
        except HeadstartError:
            raise
        except Exception as error:  # JSON raises several things on damaged files
            raise refused(folder.name, with_type(error), f"{name} as KerasHub wrote it") from error


def _converter(hub: ModuleType, preset: str) -> dict:
    """Return what a preset does to images; nothing where a folder does not say."""
    if Path(preset).is_dir() and not (Path(preset) / _CONVERTER).is_file():
        return {}
    try:
        return hub.layers.ImageConverter.from_preset(preset).get_config()
    except Exception as error:  # KerasHub raises anything on presets that it does not know
        expected = "a preset that says what it does to images"
        raise refused(Path(preset).name, with_type(error), expected) from error


def _preprocessing(converter: dict, name: str) -> tuple[str, Resizing, tuple[int, int] | None]:
    """Return scaling, resizing and size as recipes have them."""
    if converter.get("pad_to_aspect_ratio"):
        raise refused(name, "a preset that pads images", "one that squeezes or crops them")
    filter = str(converter.get("interpolation") or "bilinear")
    if filter not in FILTERS:
        raise refused(name, f"a preset that resizes by {filter}", f"{' or '.join(FILTERS)}")
    crop = 1.0 if converter.get("crop_to_aspect_ratio") and converter.get("image_size") else 0.0
    size = converter.get("image_size")
    return (
        _scaling(converter.get("scale"), converter.get("offset")) if converter else "",
        Resizing(filter, bool(converter.get("antialias")), crop),
        (int(size[0]), int(size[1])) if size else None,
    )


def _scaling(scale: float | Sequence[float] | None, offset: float | Sequence[float] | None) -> str:
    """Return ``pixels * scale + offset`` as mean and deviation of values in 0..1.

    Examples
    --------
    >>> _scaling(1 / 255, None), _scaling([1 / 127.5] * 3, -1.0)
    ('0.0,0.0,0.0/1.0,1.0,1.0', '0.5,0.5,0.5/0.5,0.5,0.5')
    """
    if scale is None and offset is None:
        return "none"
    scales, offsets = (
        [float(each) for each in value] if isinstance(value, Sequence) else [float(value)] * 3
        for value in (1.0 if scale is None else scale, 0.0 if offset is None else offset)
    )
    deviations = [1 / (255 * each) for each in scales]
    means = [-each * deviation for each, deviation in zip(offsets, deviations, strict=True)]
    return "/".join(map(_written, (means, deviations)))


def _written(values: Sequence[float]) -> str:
    return ",".join(str(round(each, _DIGITS) + 0.0) for each in values)
