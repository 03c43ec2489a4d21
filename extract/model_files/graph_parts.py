"""What a stranger's Keras graph may be made of: parts of known packages, none with code of its own."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from data.errors import HeadstartError

_OF_GRAPH = ("module", "class_name", "config", "registered_name", "build_config")  # the rest is of training
_SHARED = "shared_object_id"
# Code of the file's:
_RUN = {"Lambda", "__lambda__", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer"}
_OWN_LAYERS = "layers that are Keras' own"
_READ_FILES = {"StringLookup", "IntegerLookup", "IndexLookup", "TextVectorization"}
_SAVE = "save the model again by Keras 3: model.save('MODEL.keras')"
_REBUILD = "build it of Keras' own layers, give it the weights, and save that: model.save('MODEL.keras')"
_OF_CLASSES = ("softmax", "sigmoid")
_ODD = re.compile(r"[^A-Za-z0-9_.-]|^[^A-Za-z0-9]")  # in names that TensorFlow takes for no scope


def checked_graph(values: dict, file: str, packages: Sequence[str]) -> dict:
    """Return the graph in a configuration, of which every part is of some packages and has no code.

    Names of layers get letters that TensorFlow takes.

    Raises
    ------
    HeadstartError
        If a part is not.
    """
    config = _numbered({name: values[name] for name in _OF_GRAPH if name in values}, {})
    for part in _parts(config):
        _check_part(part, file, packages)
    return with_plain_names(config)


def _numbered(value: Any, numbers: dict[int, int]) -> Any:
    """Return a graph whose shared objects are numbered; Keras writes where they lay in memory."""
    if isinstance(value, list):
        return [_numbered(each, numbers) for each in value]
    if not isinstance(value, dict):
        return value
    found = {name: _numbered(each, numbers) for name, each in value.items() if name != _SHARED}
    if _SHARED in value and value.get("class_name") != "DTypePolicy":
        found[_SHARED] = numbers.setdefault(value[_SHARED], len(numbers))
    return found


def _parts(value: object) -> Iterator[dict]:
    """Yield all that names a class or a function, however deep."""
    if isinstance(value, dict):
        if "class_name" in value:
            yield value
        for each in value.values():
            yield from _parts(each)
    elif isinstance(value, list):
        for each in value:
            yield from _parts(each)


def _check_part(part: dict, file: str, packages: Sequence[str]) -> None:
    names = ("class_name", "module", "registered_name")
    kind, module, registered = (str(part.get(name) or "") for name in names)
    if kind in _RUN:
        raise refused(file, f"a {kind.strip('_')} layer, whose code is in the file", _OWN_LAYERS, _REBUILD)
    if kind in _READ_FILES:
        raise refused(file, f"a {kind} layer, which may read other files", "layers of images", _REBUILD)
    owner = registered.partition(">")[0] if ">" in registered else ""
    if module.split(".")[0] not in ("", *packages) or owner not in ("", *packages):
        raise refused(file, f"the custom object {registered or f'{module}.{kind}'}", _OWN_LAYERS, _REBUILD)


def refused(file: str, received: str, expected: str, advice: str = _SAVE) -> HeadstartError:
    """Make the error for a file that cannot be a backbone."""
    return HeadstartError(f"{file!r} cannot be a backbone", expected, received, advice)


def with_plain_names(config: dict) -> dict:
    """Return a graph whose layers have names of letters that TensorFlow takes for scopes.

    Examples
    --------
    >>> with_plain_names({"name": "my layer", "inbound_nodes": ["my layer", 0]})
    {'name': 'my_layer', 'inbound_nodes': ['my_layer', 0]}
    """
    names = set(names_in(config))
    renamed: dict[str, str] = {}
    for name in sorted(filter(_ODD.search, names)):
        plain = _ODD.sub("_", name).strip("_") or "layer"
        while plain in names:
            plain += "_"
        names.add(plain)
        renamed[name] = plain
    return _renamed(config, renamed) if renamed else config


def names_in(value: object) -> Iterator[str]:
    """Yield what stands as a name in a graph, however deep."""
    if isinstance(value, dict):
        if isinstance(name := value.get("name"), str):
            yield name
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from names_in(each)


def _renamed(value: Any, renamed: dict[str, str]) -> Any:
    if isinstance(value, list):
        return [_renamed(each, renamed) for each in value]
    if isinstance(value, dict):
        return {key: _renamed(each, renamed) for key, each in value.items()}
    return renamed.get(value, value) if isinstance(value, str) else value


def is_classifier(config: dict) -> bool:
    """Tell whether a graph ends in the probabilities of classes.

    Examples
    --------
    >>> is_classifier({"config": {"layers": [{"config": {"name": "top", "activation": "softmax"}}]}})
    True
    """
    inner = config.get("config", {})
    layers = inner.get("layers") or [{}]
    ends = str(inner.get("output_layers", ""))
    last = [each for each in layers if repr(each.get("config", {}).get("name")) in ends] or layers[-1:]
    return any(map(_ends_in_probabilities, last))


def _ends_in_probabilities(layer: dict) -> bool:
    inner = layer.get("config", {})
    one = inner.get("activation") in _OF_CLASSES or layer.get("class_name", "").lower() in _OF_CLASSES
    return one or ("layers" in inner and is_classifier(layer))
