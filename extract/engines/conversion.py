"""Backbones in OpenVINO's format: converted once, then read from the user's cache in no time."""

import hashlib
import json
import logging
import os
import subprocess
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from data.child import command_of, environment
from data.errors import HeadstartError
from data.output.atomic import written_aside
from data.output.cache import cache_folder, check_cache, in_cache
from data.output.disk import full_told, try_room
from data.text import one_line
from extract.backbones.download import file_hash
from extract.backbones.keras_backend import keras_backend
from extract.backbones.kinds import kind_of, short_name
from extract.backbones.weights import load_backbone
from extract.engines.file_graph import file_model
from extract.engines.keras_engine import feature_model
from extract.model_files.openvino_graph import quiet_openvino, without_telemetry
from extract.recipe import Recipe

if TYPE_CHECKING:
    import keras
    import openvino

_TENSORFLOWS = ("2.21.0",)  # that names of earlier models have
_log = logging.getLogger("headstart.engines")


def converted_model(recipe: Recipe) -> Path:
    """Return the backbone of a recipe in OpenVINO's format, from our cache or converted now.

    Returns
    -------
    Path
        The ``.xml`` file; the weights are in a ``.bin`` file beside it.

    Raises
    ------
    HeadstartError
        If the recipe is quantized and its model is not in the cache: that needs the images
        which calibrated it.
    """
    if kept := kept_model(recipe):
        return kept
    path = model_path(recipe)
    if recipe.quantization != "none":
        raise _not_quantized(recipe, path)
    check_cache()
    _log.info("converting %s for OpenVINO; this is kept in the cache", short_name(recipe.backbone))
    keep_model(float_model(recipe), path)
    return path


def kept_model(recipe: Recipe) -> Path | None:
    """Return the model of a recipe in the cache, whole and unchanged; None if there is none."""
    paths = (model_path(recipe), *_earlier_paths(recipe))
    return next((path for path in paths if is_kept(path)), None)


def float_model(recipe: Recipe) -> "openvino.Model":
    """Convert the backbone with scaling and pooling, as float32.

    Where Keras has another backend than TensorFlow, Keras' backend OpenVINO does it: features differ
    by some 1e-6.

    Returns
    -------
    openvino.Model

    Raises
    ------
    HeadstartError
        If Keras' backend OpenVINO cannot build the backbone.
    """
    if kind_of(recipe.backbone).graph == "openvino":
        return file_model(recipe)
    if keras_backend() != "tensorflow":
        return _translated(recipe)
    model = feature_model(recipe, load_backbone(recipe.backbone, recipe.image_size, recipe.weights))
    with without_telemetry(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The structure of `inputs`")  # of Keras, called with a list
        return quiet_openvino().convert_model(_named_outputs(model))


def _named_outputs(model: "keras.Model") -> "keras.Model":
    """Name outputs by their place: the converter sorts them by name, and Keras' 1000 comes before 999."""
    import keras

    named = {f"layer_{place:04d}": output for place, output in enumerate(model.outputs)}
    return keras.Model(model.inputs, named)


def _translated(recipe: Recipe) -> "openvino.Model":
    """Convert in a process of its own, whose Keras has the backend OpenVINO."""
    core = quiet_openvino().Core()
    core.set_property({"ENABLE_MMAP": False})  # the file is gone in a moment
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.xml"
        done = subprocess.run(
            command_of("extract.engines.translation", recipe.to_json(), path),
            env={**environment(), "KERAS_BACKEND": "openvino"},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode == 0:
            return core.read_model(path)
    raise HeadstartError(
        f"{short_name(recipe.backbone)} cannot be converted for OpenVINO without TensorFlow",
        "a model by Keras' backend OpenVINO",
        one_line("".join(done.stderr.strip().splitlines()[-1:])) or f"exit code {done.returncode}",
        "install TensorFlow, or compute with --engine keras",
    )


def model_path(recipe: Recipe) -> Path:
    """Return where the model of a recipe is kept, or will be: by recipe and versions.

    The model is the same with or without TensorFlow, and in float32 whatever the engine computes in.
    """
    return _named(recipe, _versions())


def _earlier_paths(recipe: Recipe) -> Iterator[Path]:
    """Yield names with the version of TensorFlow in them, installed here or not, as there once were."""
    try:
        known = (version("tensorflow"),)
    except PackageNotFoundError:
        known = _TENSORFLOWS
    for each in known:
        yield _named(recipe, _versions() | {"tensorflow": each})


def _versions() -> dict[str, str]:
    return {name: version(name) for name in ("keras", "openvino")}


def _named(recipe: Recipe, versions: dict[str, str]) -> Path:
    plain = replace(recipe, precision="float32")
    told: list[object] = [plain.key, versions]
    if len(recipe.layers) > 1:
        told.append("outputs by place")  # models that were kept without may have two of them exchanged
    key = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
    return cache_folder() / "openvino" / f"{key[:32]}.xml"


def is_kept(path: Path) -> bool:
    """Tell whether a model is in the cache, whole and unchanged."""
    try:
        expected = json.loads(path.with_suffix(".json").read_text())
        return expected == _hashes(path)
    except HeadstartError:
        raise
    except (OSError, ValueError):
        return False


@in_cache()
def keep_model(model: "openvino.Model", path: Path) -> None:
    """Write a model into the cache; its hashes are written last, so a half one counts as none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder, full_told(path.parent):
        try_room(Path(folder), sum(each.get_byte_size() for each in model.get_ops() if _is_constant(each)))
        aside = Path(folder) / path.name
        quiet_openvino().save_model(model, aside, compress_to_fp16=False)
        for suffix in (".bin", ".xml"):
            os.replace(aside.with_suffix(suffix), path.with_suffix(suffix))
    with written_aside(path.with_suffix(".json")) as record:
        record.write_text(json.dumps(_hashes(path)))


def _is_constant(operation: "openvino.Node") -> bool:
    return operation.get_type_name() == "Constant"


def _hashes(path: Path) -> dict[str, str]:
    return {suffix: file_hash(path.with_suffix(suffix), "sha256") for suffix in (".xml", ".bin")}


def _not_quantized(recipe: Recipe, path: Path) -> HeadstartError:
    return HeadstartError(
        "the int8 backbone of this recipe is not in the cache",
        f"{path}, calibrated with the images {recipe.calibration[:16]}",
        "no such file, or versions of OpenVINO or Keras that did not make it",
        "run `python -m extract run ... --quantization int8` here with the images that calibrated it",
    )
