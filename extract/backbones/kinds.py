"""KINDS: what a backbone may be, and how our cache keeps models of users under their digest."""

import json
import re
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Self

from data.errors import HeadstartError, NotFoundError, UsageError
from data.output.atomic import written_aside
from data.output.cache import cache_folder, in_cache
from data.resize import PLAIN, Resizing

_SIZES = ("image_size", "usual_size")
FILE = "file:"  # so begins --backbone where it names a model file
HUB = "hub:"  # or a preset of KerasHub
_BY_DIGEST = re.compile(r"([a-z]+):[0-9a-f]{64}")
_BY_KERAS = "save it by Keras 3: keras.models.load_model(FILE, compile=False).save('MODEL.keras')"
_BY_TORCH = "export it: torch.onnx.export(model.eval(), images, 'MODEL.onnx', dynamo=True)"
_SAVE = "save the model in one of these formats"
_SAVED_AS = {  # by the end of the name, the longer one first
    ".weights.h5": "load these weights into their model, and save that: model.save('MODEL.keras')",
    **dict.fromkeys((".h5", ".hdf5"), _BY_KERAS),
    **dict.fromkeys((".pt", ".pth", ".safetensors"), _BY_TORCH),
    **dict.fromkeys(
        (".tflite", ".pb"), "convert it: openvino.save_model(openvino.convert_model(FILE), 'MODEL.xml')"
    ),
}
_SHORT = 8  # digits of a digest that people are shown


@dataclass(frozen=True)
class Own:
    """A model of the user's, as our cache keeps it.

    Attributes
    ----------
    name : str
        Kind and digest of the graph: what a recipe has as its backbone.
    file : str
        Name of the file that brought it.
    image_size : tuple of int or None
        Height and width that it takes; None where it takes any.
    weights : str
        Digest of the weights that the file brought; empty where only the graph was asked for.
    scaling, resizing, usual_size
        What its images need, where the file says it; else an empty text, the plain one and None.
    """

    name: str
    file: str
    image_size: tuple[int, int] | None
    weights: str = ""
    scaling: str = ""
    resizing: Resizing = PLAIN
    usual_size: tuple[int, int] | None = None

    @classmethod
    def of(cls, name: str, values: dict) -> Self:
        """Return what `told` says of a model; values that say nothing raise as Python does."""
        one, other = (values[key] and (int(values[key][0]), int(values[key][1])) for key in _SIZES)
        resizing = Resizing(**values["resizing"])
        return cls(name, str(values["file"]), one, "", str(values["scaling"]), resizing, other)

    def told(self) -> dict:
        """Return what stays of the model where its weights are others, ready for JSON."""
        return {name: value for name, value in asdict(self).items() if name not in ("name", "weights")}

    @classmethod
    @in_cache()
    def read(cls, name: str) -> Self:
        """Return what our cache keeps of a model.

        Raises
        ------
        HeadstartError
            If it has none of this name, or its record is damaged.
        """
        try:
            return cls.of(name, json.loads(_record(name).read_bytes()))
        except HeadstartError:
            raise
        except FileNotFoundError:
            raise missing_model(name, "the file that brought it") from None
        except (ValueError, TypeError, KeyError, IndexError) as error:
            raise HeadstartError(
                f"what the cache keeps of the model {name[:14]} is damaged",
                "as it was written there",
                str(_record(name)),
                "remove that file, and name the model file again: --backbone file:MODEL",
            ) from error

    @in_cache()
    def write(self) -> None:
        """Keep what is said of the model, unless its first file said it; its graph is kept before."""
        with suppress(HeadstartError):
            Own.read(self.name)
            return
        with written_aside(_record(self.name)) as aside:
            aside.write_text(json.dumps(self.told()))


@in_cache()
def is_kept(name: str) -> bool:
    """Tell whether our cache has a model.

    Examples
    --------
    >>> is_kept(f"keras:{'0' * 64}")
    False
    """
    return _record(name).is_file()


def missing_model(name: str, file: str) -> HeadstartError:
    """Make the error for a model that our cache lacks.

    Parameters
    ----------
    name : str
    file : str
        Which file is wanted.
    """
    word = "layers" if kind_of(name).graph == "keras" else "run SOURCE"
    return HeadstartError(
        f"the model {name[:14]} that this recipe names is not in the cache",
        f"{file}, whose graph has the digest {name.partition(':')[2]}, in {models_folder()}",
        "no such model",
        f"bring it: python -m extract {word} --backbone file:MODEL; the cache keeps it from then on",
    )


def models_folder() -> Path:
    """Return where our cache keeps models."""
    return cache_folder() / "models"


def place_of(name: str) -> Path:
    """Return where the graph of a model is kept: a file or a folder, without a suffix."""
    return models_folder() / name.replace(":", "-")


def _record(name: str) -> Path:
    return place_of(name).with_suffix(".record.json")


@dataclass(frozen=True)
class Kind:
    """One kind of backbone: adding one is adding its entry to `KINDS`, and its module.

    Attributes
    ----------
    words, said_as : str
        What people call one, and what stands behind ``--backbone`` for it.
    module : str
        Which keeps a model in our cache (``keep``) and, of a Keras graph, builds it (``build``); imported on
        use.
    graph : str
        ``keras``: any engine computes it, and it fine-tunes, exports and lists its layers. ``openvino``:
        OpenVINO alone computes it, with its weights as they are.
    suffixes : tuple of str
        Of the model files.
    """

    words: str
    said_as: str
    module: str
    graph: str = "keras"
    suffixes: tuple[str, ...] = ()


KINDS = {  # by what stands before the digest in the name of a backbone; a name of the table has none
    "": Kind("a backbone with a name", "`NAME`", "extract.backbones.applications"),
    "keras": Kind(
        "a Keras model", "`file:MODEL.keras`", "extract.model_files.keras_file", suffixes=(".keras",)
    ),
    "hub": Kind("a preset of KerasHub", "`hub:FOLDER` or `hub:NAME`", "extract.model_files.hub"),
    "onnx": Kind(
        "an ONNX model", "`file:MODEL.onnx`", "extract.model_files.openvino_graph", "openvino", (".onnx",)
    ),
    "openvino": Kind(
        "an OpenVINO model", "`file:MODEL.xml`", "extract.model_files.openvino_graph", "openvino", (".xml",)
    ),
}


def kind_of(name: str) -> Kind:
    """Return the kind of a backbone by its name in a recipe.

    Examples
    --------
    >>> kind_of("xception").graph, kind_of(f"keras:{'0' * 64}").suffixes
    ('keras', ('.keras',))
    """
    return KINDS[_prefix(name)]


def is_own(name: str) -> bool:
    """Tell whether a backbone is a model of the user's, which is known by its digest or its file.

    Examples
    --------
    >>> is_own("xception"), is_own("file:model.keras"), is_own(f"keras:{'0' * 64}")
    (False, True, True)
    """
    return ":" in name


def short_name(name: str) -> str:
    """Return the name of a backbone as people are shown it.

    Examples
    --------
    >>> short_name("xception"), short_name(f"keras:{'0' * 64}")
    ('xception', 'keras:00000000')
    """
    return name[: name.index(":") + 1 + _SHORT] if _BY_DIGEST.fullmatch(name) else name


def plain_name(name: str) -> str:
    """Return the short name of a backbone in letters, digits and ``_``, as models and files may have it.

    Examples
    --------
    >>> plain_name(f"keras:{'0' * 64}")
    'keras_00000000'
    """
    return short_name(name).replace(":", "_")


def settled(text: str) -> Own:
    """Return the model that ``--backbone`` means by a file or a digest, kept in our cache.

    Parameters
    ----------
    text : str
        ``file:PATH``, ``hub:PRESET``, or a name that `Own` has.

    Raises
    ------
    HeadstartError
        If there is no such file, it is of no kind that is known, or its kind refuses it; if our cache has
        no model of that digest.
    """
    if text.startswith(FILE):
        path = Path(text.removeprefix(FILE))
        return _kept(_kind_of_file(path).module, path, _stamp(path))
    if text.startswith(HUB) and not _BY_DIGEST.fullmatch(text):
        preset = text.removeprefix(HUB)
        return _kept(KINDS["hub"].module, preset, _stamps_in(Path(preset)))
    _prefix(text)
    return Own.read(text)


@lru_cache(64)
def _kept(module: str, place: Path | str, _stamp: tuple[int, ...]) -> Own:
    return import_module(module).keep(place)


def _stamps_in(folder: Path) -> tuple[int, ...]:
    """Return what tells the files of a folder from others; of what is no folder, nothing."""
    files = sorted(file for file in folder.iterdir() if file.is_file()) if folder.is_dir() else []
    return tuple(number for file in files for number in _stamp(file))


def _kind_of_file(path: Path) -> Kind:
    known = {suffix: kind for kind in KINDS.values() for suffix in kind.suffixes}
    if path.suffix.lower() not in known:
        raise UsageError(
            f"{path.name!r} is no model file that a backbone can be",
            f"a file that ends in {' or '.join(known)}",
            f"one that ends in {path.suffix or 'nothing'}",
            next((todo for end, todo in _SAVED_AS.items() if path.name.lower().endswith(end)), _SAVE),
        )
    return known[path.suffix.lower()]


def _stamp(path: Path) -> tuple[int, int]:
    if not path.is_file():
        raise NotFoundError(
            f"there is no model file {str(path)!r}",
            "a file",
            "a folder" if path.is_dir() else "a path that does not exist",
            "check the path behind file:",
        )
    found = path.stat()
    return found.st_mtime_ns, found.st_size


def _prefix(name: str) -> str:
    if ":" not in name:
        return ""
    match = _BY_DIGEST.fullmatch(name)
    if not match or match[1] not in KINDS:
        raise UsageError(
            f"{name!r} names no backbone",
            f"a name of the table, {FILE}PATH, {HUB}PRESET, or KIND:DIGEST",
            name,
            "correct --backbone",
        )
    return match[1]


def need_keras_graph(name: str, what: str) -> None:
    """Raise if something needs the Keras graph of a backbone that has none.

    Parameters
    ----------
    name : str
        A backbone.
    what : str
        What needs it, as ``fine-tuning``.

    Raises
    ------
    HeadstartError
    """
    kind = kind_of(name)
    if kind.graph != "keras":
        raise HeadstartError(
            f"{what} needs a backbone whose graph is Keras'",
            "a backbone with a name, or a .keras file",
            f"{kind.words} ({short_name(name)}), whose weights OpenVINO computes as they are",
            "extract with the model in Keras' format, as --backbone file:MODEL.keras, and train on that",
        )
