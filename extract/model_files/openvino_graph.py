"""OpenVINO's graphs: the package imported quietly, and users' ONNX and IR files kept, read and understood."""

import hashlib
import json
import os
import re
import shutil
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from data.errors import HeadstartError, unknown_name
from data.output.atomic import written_aside
from data.output.cache import in_cache
from data.output.disk import try_room
from data.text import counted, one_line, with_type
from extract.backbones.build import AVG_POOL
from extract.backbones.download import file_hash
from extract.backbones.kinds import Own, missing_model, place_of
from extract.backbones.records import Weights, weights_folder
from extract.model_files.onnx_parts import external_files

if TYPE_CHECKING:
    import openvino

ANY_OR_ONE = (-1, 1)
_LARGEST = 16 << 30  # bytes of a file
_CHANNELS = 3
_WHERE = re.compile(
    r"Exception from \S+:\d+:|Check '.*?' failed at \S+:\d+:", re.DOTALL
)  # OpenVINO's own code
_FLOATS = ("f16", "f32", "bf16", "f64")


def quiet_openvino() -> ModuleType:
    """Return the package `openvino`; its import alone would write to the user's home and send a message."""
    with without_telemetry():
        import openvino
    return openvino


@contextmanager
def without_telemetry() -> Iterator[None]:
    """Let OpenVINO's tools be imported as if its telemetry package were not installed."""
    name = "openvino_telemetry"
    before = {name: sys.modules[name]} if name in sys.modules else {}
    # Python's own rule, which typeshed leaves out: a name with None is not imported.
    sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        sys.modules.pop(name)
        sys.modules.update(before)


@dataclass(frozen=True)
class Graph:
    """A model file's graph, ready for images of one size.

    Attributes
    ----------
    model : openvino.Model
    channels_first : bool
        Whether its input has them before height and width.
    """

    model: "openvino.Model"
    channels_first: bool


def keep(path: Path) -> Own:
    """Keep an ONNX or IR file in our cache, with the files that belong to it, under the digest of all.

    Raises
    ------
    HeadstartError
        If a file is cut or missing, too large or lies outside of the model's folder, OpenVINO cannot read
        it, or it takes anything but one image.
    """
    kind = "onnx" if path.suffix.lower() == ".onnx" else "openvino"
    files = _files_of(path)
    hashes = {str(name): file_hash(file, "sha256") for name, file in files.items()}
    digest = hashlib.sha256(json.dumps(sorted(hashes.items())).encode()).hexdigest()
    own = Own(f"{kind}:{digest}", path.name, _image_size(_read(path, path.name), path.name), digest)
    _copy(files, place_of(own.name))
    own.write()
    origin = f"file {path.name}, sha256 {hashes[_MAIN[kind]]}"
    with in_cache(), written_aside(weights_folder() / f"{digest}.json") as aside:
        aside.write_text(json.dumps(asdict(Weights(digest, own.name, path.name, origin))))
    return own


def opened_graph(name: str, image_size: tuple[int, int], batches: Sequence[int] = ANY_OR_ONE) -> Graph:
    """Read a kept model for images of one size, and the first of some lengths of batches that it takes.

    Parameters
    ----------
    name : str
    image_size : tuple of int
    batches : sequence of int
        -1 is any length, 1 a single image.

    Raises
    ------
    HeadstartError
        If our cache lacks it, or it is damaged.
    """
    model, file = _kept(name)
    failed = ""
    for first in _layouts(model, file):
        for batch in batches:
            shape = [batch, _CHANNELS, *image_size] if first else [batch, *image_size, _CHANNELS]
            try:
                model.reshape({model.inputs[0]: quiet_openvino().PartialShape(shape)})
            except RuntimeError as error:
                failed = _said(error)
                continue
            if batch == 1 or all(_has_batch(output) for output in model.outputs):
                return Graph(model, first)
    height, width = image_size
    raise HeadstartError(
        f"{file!r} cannot be computed for images of {height}x{width} pixels",
        "a model that takes images of this size",
        failed or "a model that takes several images at once, and no other number of them",
        "choose the --image-size that it was exported for, or export it for any",
    )


def outputs_of(graph: Graph, names: Sequence[str]) -> "list[openvino.Output]":
    """Return the outputs of layers; ``avg_pool`` is the model's own one.

    Raises
    ------
    HeadstartError
        If there is no such layer, or several outputs and none is named.
    """
    known = _tensors(graph.model)
    own = [each.get_node().input_value(0) for each in graph.model.outputs]
    found = []
    for name in names:
        if name in known:
            found.append(known[name])
        elif name != AVG_POOL:
            raise unknown_name("layer", name, known)
        elif len(own) > 1:
            raise _several(graph.model)
        else:
            found.append(own[0])
    return found


def layer_names(name: str) -> list[str]:
    """Return what `outputs_of` knows of a kept model."""
    model, _ = _kept(name)
    return [*_tensors(model), AVG_POOL]


def _kept(name: str) -> "tuple[openvino.Model, str]":
    """Read a model in our cache, verified, and return it with the name of the user's file."""
    folder, own = place_of(name), Own.read(name)
    kind, _, digest = name.partition(":")
    with in_cache():
        if not folder.is_dir():
            raise missing_model(name, f"the file {own.file!r}")
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        hashes = [(path.relative_to(folder).as_posix(), file_hash(path, "sha256")) for path in files]
    if hashlib.sha256(json.dumps(hashes).encode()).hexdigest() != digest:
        raise HeadstartError(
            "a model in the cache is damaged",
            f"files with the digest {digest}",
            f"others in {folder}",
            "remove that folder, and name the model file again: --backbone file:MODEL",
        )
    return _read(folder / _MAIN[kind], own.file), own.file


_MAIN = {"onnx": "model.onnx", "openvino": "model.xml"}


def _files_of(path: Path) -> dict[str, Path]:
    """Return the files of a model by the names that they get in our cache."""
    if path.suffix.lower() == ".onnx":
        try:
            names = external_files(path)
        except (ValueError, IndexError) as error:
            raise _refused(path.name, with_type(error), "an ONNX file, whole") from error
        files = {"model.onnx": path} | {name: _inside(path, name) for name in names}
    else:
        _check_xml(path)
        files = {"model.xml": path, "model.bin": path.with_suffix(".bin")}
    for file in files.values():
        if not file.is_file():
            raise _refused(path.name, f"no file {file.name!r} beside it", "all files of the model")
        if file.stat().st_size > _LARGEST:
            raise _refused(path.name, f"{file.stat().st_size} bytes", f"{_LARGEST} bytes at most")
    return files


def _inside(path: Path, name: str) -> Path:
    """Return an external file of a model, or raise where it is not below the model's folder."""
    folder = path.parent.resolve()
    file = folder / name
    if os.path.isabs(name) or ".." in Path(name).parts or not file.resolve().is_relative_to(folder):
        raise _refused(path.name, f"weights in {name!r}", "weights in the model's own folder")
    return file


def _check_xml(path: Path) -> None:
    try:
        for _, element in ElementTree.iterparse(path, ("start",)):
            if element.tag != "net":
                raise _refused(path.name, f"XML of {element.tag!r}", "an OpenVINO model")
            return
    except HeadstartError:
        raise
    except (ElementTree.ParseError, OSError) as error:
        raise _refused(path.name, with_type(error), "an OpenVINO model in XML") from error


@in_cache()
def _copy(files: dict[str, Path], folder: Path) -> None:
    if folder.is_dir():
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as made:
        try_room(Path(made), sum(file.stat().st_size for file in files.values()))
        for name, file in files.items():
            (Path(made) / "model" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, Path(made) / "model" / name)
        os.replace(Path(made) / "model", folder)


def _read(path: Path, file: str) -> "openvino.Model":
    core = quiet_openvino().Core()
    core.set_property({"ENABLE_MMAP": False})  # a temporary file may be gone before the model
    try:
        model = core.read_model(path)
        inputs = model.inputs
    except Exception as error:  # OpenVINO raises anything on what it cannot read
        raise _refused(file, _said(error), "a model that OpenVINO reads") from error
    if len(inputs) != 1:
        names = ", ".join(sorted(min(each.get_names(), default="?") for each in inputs))
        raise _refused(file, f"{counted(len(inputs), 'input')}: {names}", "a model with one input")
    _layouts(model, file)
    return model


def _said(error: Exception) -> str:
    """Return what OpenVINO says of a model, without where its own code says it.

    Examples
    --------
    >>> _said(RuntimeError("Exception from src/core.cpp:84:\\nCheck 'a' failed at x.cpp:9:\\nIt is cut!"))
    'It is cut!'
    """
    return one_line(_WHERE.sub("", str(error)).strip()) or with_type(error)


def _layouts(model: "openvino.Model", file: str) -> list[bool]:
    """Return whether channels come first, as far as the input tells: both where it does not."""
    given = model.inputs[0]
    shape, kind = given.get_partial_shape(), given.get_element_type().get_type_name()
    if shape.rank.is_static and shape.rank.get_length() == 4 and kind in (*_FLOATS, "u8"):
        fitting = [first for first in (True, False) if _may_be(shape[1 if first else 3], _CHANNELS)]
        known = [first for first in fitting if shape[1 if first else 3].is_static]
        if fitting and (shape[0].is_dynamic or shape[0].get_length() == 1):
            return known or fitting
    expected = "images, one or any number: (N, 3, height, width) or (N, height, width, 3)"
    raise _refused(file, f"an input of the shape {shape} and of {kind}", expected)


def _may_be(side: "openvino.Dimension", length: int) -> bool:
    return bool(side.is_dynamic or side.get_length() == length)


def _image_size(model: "openvino.Model", file: str) -> tuple[int, int] | None:
    shape = model.inputs[0].get_partial_shape()
    first = _layouts(model, file)[0]
    sides = [shape[place] for place in ((2, 3) if first else (1, 2))]
    return None if any(side.is_dynamic for side in sides) else (sides[0].get_length(), sides[1].get_length())


def _has_batch(output: "openvino.Output") -> bool:
    shape = output.get_partial_shape()
    return bool(shape.rank.is_static and shape.rank.get_length() and shape[0].is_dynamic)


def _tensors(model: "openvino.Model") -> "dict[str, openvino.Output]":
    """Return the outputs of operations on floats that may be pooled, by each of their names."""
    found: dict[str, openvino.Output] = {}
    for operation in model.get_ordered_ops():
        if operation.get_type_name() in ("Parameter", "Constant", "Result"):
            continue
        for output in operation.outputs():
            rank = output.get_partial_shape().rank
            fits = rank.is_static and 2 <= rank.get_length() <= 4
            if fits and output.get_element_type().get_type_name() in _FLOATS:
                found |= dict.fromkeys(sorted(output.get_names()), output)
    return found


def _several(model: "openvino.Model") -> HeadstartError:
    names = [min(output.get_names(), default="?") for output in model.outputs]
    return HeadstartError(
        "the model has several outputs, and none is chosen",
        f"--layer and one of {', '.join(names)}",
        "no --layer",
        f"add --layer {names[0]}",
    )


def _refused(file: str, received: str, expected: str) -> HeadstartError:
    return HeadstartError(
        f"{file!r} cannot be a backbone", expected, received, "export the model again, or choose another file"
    )
