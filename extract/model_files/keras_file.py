"""A user's Keras model as a backbone: its graph is rebuilt of Keras' own layers, and nothing in it is run."""

import hashlib
import json
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.errors import HeadstartError
from data.output.atomic import written_aside
from data.output.cache import in_cache
from data.text import counted, with_type
from extract.backbones.build import AVG_POOL
from extract.backbones.download import file_hash
from extract.backbones.keras_backend import keras_backend
from extract.backbones.kinds import Own, is_kept, missing_model, models_folder, place_of
from extract.backbones.records import known_weights
from extract.backbones.tensors import name_elsewhere
from extract.backbones.weights import keep_weights
from extract.model_files.graph_parts import checked_graph, is_classifier, names_in, refused

if TYPE_CHECKING:
    import keras

_CONFIG, _WEIGHTS = "config.json", "model.weights.h5"  # in the file, which is a zip
_LARGEST = {_CONFIG: 64 << 20, _WEIGHTS: 16 << 30}  # bytes of each, unpacked
_PACKAGES = ("builtins", "keras")  # whose classes are Keras' own
_MODELS = ("Functional", "Sequential")
_ONE_END = "a model with one input and one output"
_INPUT = "let it begin with keras.Input((HEIGHT, WIDTH, 3)), give it its weights, and save it again"
_PART = "save the part from one input to one output: keras.Model(INPUT, OUTPUT).save('MODEL.keras')"
_RGB = "save a model around it that takes RGB images, channels last, and makes of them what it needs"


def keep(path: Path) -> Own:
    """Keep the graph and the weights of a ``.keras`` file in our cache, each under its digest.

    Raises
    ------
    HeadstartError
        If the file is cut or no such file, is too large, has parts that are not Keras' own, takes anything
        but one image, or has several outputs.
    """
    sha256 = file_hash(path, "sha256")
    if kept := kept_before(sha256):
        return kept
    config = _graph_in(path)
    with zipfile.ZipFile(path) as archive:
        check_fits(config, archive.getinfo(_WEIGHTS).file_size, path.name)
    model = built(config, path.name)
    own = Own(f"keras:{digest_of(config)}", path.name, image_size_of(model, path.name))
    _load(model, path)
    return keep_model(own, config, model, f"file {path.name}, sha256 {sha256}", sha256)


def keep_model(own: Own, config: dict, model: "keras.Model", origin: str, bytes_digest: str) -> Own:
    """Keep a model's graph, what is said of it, and its weights; return it with the digest of these.

    Parameters
    ----------
    own : Own
    config : dict
        The graph.
    model : keras.Model
        With its weights.
    origin : str
        What `Weights` says of them.
    bytes_digest : str
        Of the files that brought it, by which `kept_before` finds it again.
    """
    keep_graph(own, config)
    weights = keep_weights(own.name, model.get_weights(), own.file, origin).digest
    with in_cache(), written_aside(_note(bytes_digest)) as aside:
        aside.write_text(f"{own.name} {weights}")
    return replace(own, weights=weights)


@in_cache()
def keep_graph(own: Own, config: dict) -> None:
    """Keep a model's graph and what is said of it."""
    with written_aside(_graph_place(own.name)) as aside:
        aside.write_text(_canonical(config))
    own.write()


def check_brought(config: dict, size: int, file: str) -> None:
    """Raise for a graph that `keep` would refuse, with weights in a file of so many bytes."""
    checked_graph(config, file, _PACKAGES)
    check_fits(config, size, file)


@in_cache()
def kept_before(bytes_digest: str) -> Own | None:
    """Return the model that files of these bytes brought before, if our cache has it; nothing is built."""
    note = _note(bytes_digest)
    name, _, weights = (note.read_text(errors="replace") if note.is_file() else "").partition(" ")
    if not (name and is_kept(name) and _graph_place(name).is_file() and known_weights(weights)):
        return None
    return replace(Own.read(name), weights=weights)


def _note(bytes_digest: str) -> Path:
    return models_folder() / f"{bytes_digest}.name"


def build(name: str, image_size: tuple[int, int], policy: str) -> "keras.Model":
    """Build a kept model, weights not loaded.

    Parameters
    ----------
    name : str
        ``keras:`` and the digest of its graph.
    image_size : tuple of int
        Height and width, for a model whose input takes any.
    policy : str
        Keras' dtype policy, for all of its layers.

    Raises
    ------
    HeadstartError
        If our cache lacks it, or it is damaged.
    """
    return built(with_policy(_with_size(kept_graph(name), image_size), policy), name)


def kept_graph(name: str) -> dict:
    """Return the graph of a model in our cache, verified."""
    path = _graph_place(name)
    with in_cache():
        if not path.is_file():
            raise missing_model(name, "the file that brought it")
        text = path.read_bytes()
    if hashlib.sha256(text).hexdigest() != name.partition(":")[2]:
        raise HeadstartError(
            "a model in the cache is damaged",
            f"the graph with the digest {name.partition(':')[2]}",
            f"another one in {path}",
            "remove that file, and name the model file again: --backbone file:MODEL.keras",
        )
    return json.loads(text)


def output_warnings(name: str, layers: Sequence[str]) -> list[str]:
    """Return a line where features of a user's model are the probabilities of its own classes."""
    if not name.startswith("keras:") or AVG_POOL not in layers or not is_kept(name):
        return []
    graph = kept_graph(name)
    if AVG_POOL in names_in(graph) or not is_classifier(graph):
        return []
    return [
        "the features are the probabilities of the model's own classes; --layer NAME takes what another "
        "layer gives, as the one before them"
    ]


def _graph_place(name: str) -> Path:
    return place_of(name).with_suffix(".json")


def _canonical(config: dict) -> str:
    return json.dumps(config, sort_keys=True, separators=(",", ":"))


def digest_of(config: dict) -> str:
    """Return the digest of a graph."""
    return hashlib.sha256(_canonical(config).encode()).hexdigest()


def _graph_in(path: Path) -> dict:
    """Return what a file says of its graph, of which every part is Keras' own."""
    try:
        with zipfile.ZipFile(path) as archive:
            for name, most in _LARGEST.items():
                if (size := archive.getinfo(name).file_size) > most:
                    raise refused(path.name, f"{name} of {size} bytes", f"{most} bytes at most")
            config = checked_graph(json.loads(archive.read(_CONFIG)), path.name, _PACKAGES)
    except HeadstartError:
        raise
    except Exception as error:  # zip and JSON raise anything on damaged files
        raise refused(path.name, with_type(error), f"a zip with {_CONFIG} and {_WEIGHTS} in it") from error
    if config.get("class_name") not in _MODELS:
        raise refused(path.name, f"a {config.get('class_name')}", f"a model that is {' or '.join(_MODELS)}")
    return config


def built(config: dict, file: str) -> "keras.Model":
    """Build a graph in safe mode, or raise for one that is none of ours."""
    keras_backend()
    import keras

    try:
        model = keras.saving.deserialize_keras_object(deepcopy(config), safe_mode=True)
        return with_single_ends(model, file)
    except HeadstartError:
        raise
    except Exception as error:  # Keras raises anything on configurations that it does not know
        expected = "a model that this version of Keras builds in safe mode"
        raise refused(file, with_type(error), expected) from error


def check_fits(config: dict, size: int, file: str) -> None:
    """Raise before memory is taken for a graph of more weights than a file of so many bytes can hold.

    Raises
    ------
    HeadstartError
    """
    with _without_weights():
        numbers = built(config, file).count_params()
    if numbers > size:
        expected = f"as many numbers as {size:,} bytes of weights hold"
        raise refused(file, f"a graph of {numbers:,}", expected)


@contextmanager
def _without_weights() -> Iterator[None]:
    """Let models be built whose weights are never made; Keras would make them when it builds the next one."""
    keras_backend()
    import keras
    from keras.src.backend.common import global_state

    name = "uninitialized_variables"
    before = list(global_state.get_global_attribute(name) or [])
    try:
        with keras.StatelessScope(initialize_variables=False):
            yield
    finally:
        global_state.set_global_attribute(name, before)


def with_single_ends(model: "keras.Model", file: str) -> "keras.Model":
    """Return a model as a functional one, or raise where it has several inputs or outputs."""
    import keras

    if not model.built:
        raise refused(file, "a model that was never built", _ONE_END, _INPUT)
    ends = len(model.inputs), len(model.outputs)
    if ends != (1, 1):
        received = f"{counted(ends[0], 'input')} and {counted(ends[1], 'output')}"
        raise refused(file, received, _ONE_END, _PART)
    return keras.Model(model.inputs[0], model.outputs[0], name=model.name)


def image_size_of(model: "keras.Model", file: str) -> tuple[int, int] | None:
    """Return height and width that a model takes; None for any."""
    shape, dtype = tuple(model.inputs[0].shape), str(model.inputs[0].dtype)
    if len(shape) != 4 or shape[3] != 3 or not dtype.startswith(("float", "bfloat")):
        received = f"an input of the shape {shape} and of {dtype}"
        raise refused(file, received, "images of floats, (None, height, width, 3)", _RGB)
    return None if None in shape[1:3] else (shape[1], shape[2])


def _with_size(config: dict, image_size: tuple[int, int]) -> dict:
    """Return a graph whose first input takes images of one size, where it took any."""
    config = deepcopy(config)
    inner = config["config"]
    shapes = [layer["config"] for layer in inner["layers"] if layer["class_name"] == "InputLayer"]
    for each in [*shapes, config.get("build_config") or {}]:
        for key in ("batch_shape", "batch_input_shape", "input_shape"):
            if isinstance(shape := each.get(key), list) and None in shape[1:3]:
                each[key] = [shape[0], *image_size, *shape[3:]]
    return config


def with_policy(value: Any, policy: str) -> Any:
    """Return a graph all of whose layers compute by a policy."""
    if isinstance(value, list):
        return [with_policy(each, policy) for each in value]
    if not isinstance(value, dict):
        return value
    if value.get("class_name") == "DTypePolicy":
        return value | {"config": {"name": policy}}
    return {name: with_policy(each, policy) for name, each in value.items()}


def _load(model: "keras.Model", path: Path) -> None:
    """Load the weights of a file, of which nothing may lie elsewhere."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            with zipfile.ZipFile(path) as archive:
                weights = Path(archive.extract(_WEIGHTS, folder))
            if elsewhere := name_elsewhere(weights):
                received = f"weights {elsewhere!r} that lie in another file"
                raise refused(path.name, received, "weights inside of the file")
            model.load_weights(weights)
        except HeadstartError:
            raise
        except Exception as error:  # HDF5, zip and Keras raise anything on damaged files
            raise refused(
                path.name, with_type(error), "weights as Keras wrote them for this graph"
            ) from error
