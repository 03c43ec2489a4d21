"""Tensors of weights: read from Keras' files, digested, drawn at random."""

import hashlib
import json
import tempfile
import zipfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from data.errors import HeadstartError
from data.text import one_line
from extract.backbones.kinds import is_own

if TYPE_CHECKING:
    import h5py
    import keras


def tensors_digest(tensors: Iterable[np.ndarray]) -> str:
    """Return the sha256 over the sorted shape, dtype and sha256 of tensors.

    Names and order do not count, so the same weights have one digest whatever file they
    came from.

    Examples
    --------
    >>> one, two = np.zeros(2, "f4"), np.ones(3, "f4")
    >>> tensors_digest([one, two]) == tensors_digest([two, one])
    True
    """
    return _digest(sorted(map(_entry, tensors)))


def weights_digest(backbone: str, tensors: Iterable[np.ndarray]) -> str:
    """Return the digest of a backbone's weights, the same on every backend of Keras.

    That of a named backbone is `tensors_digest`. Those of a user's model count in their order, beside the
    digest of the graph: nobody knows what else may be made of the same tensors.

    Parameters
    ----------
    backbone : str
        Its name in a recipe.
    tensors : iterable of ndarray
        Counters, as of EfficientNet's normalization, have 64 bits on TensorFlow and 32 on others.
    """
    arrays = map(np.asarray, tensors)
    alike = (each.astype(np.int64) if each.dtype.kind == "i" else each for each in arrays)
    return _digest([backbone, *map(_entry, alike)]) if is_own(backbone) else tensors_digest(alike)


def _entry(tensor: np.ndarray) -> list:
    content = hashlib.sha256(np.ascontiguousarray(tensor).data).hexdigest()
    return [list(tensor.shape), tensor.dtype.str, content]


def _digest(entries: list) -> str:
    return hashlib.sha256(json.dumps(entries, separators=(",", ":")).encode()).hexdigest()


def read_into(model: "keras.Model", path: Path) -> None:
    """Load tensors from a ``.h5``, ``.weights.h5`` or ``.keras`` file; nothing in it is run.

    A model that contains the backbone serves too: the part with the backbone's shapes is used.

    Parameters
    ----------
    model : keras.Model
        A backbone, changed in place.
    path : Path
    """
    import h5py

    tensors = path
    with tempfile.TemporaryDirectory() as folder:
        try:
            if zipfile.is_zipfile(path):
                with zipfile.ZipFile(path) as archive:
                    tensors = Path(archive.extract("model.weights.h5", folder))
            with h5py.File(tensors) as file:
                legacy = "layer_names" in file.attrs or "model_weights" in file
                group = None if legacy else _backbone_group(file, model)
                if group is not None:
                    tensors = Path(folder) / "backbone.weights.h5"
                    with h5py.File(tensors, "w") as target:
                        file.copy(group, target, "layers")
            model.load_weights(tensors)
        except HeadstartError:
            raise
        except (OSError, KeyError, ValueError) as error:
            raise HeadstartError(
                f"{path.name!r} holds no weights of this backbone",
                f"{len(model.weights)} tensors with the shapes of {model.name}",
                one_line(error),
                "choose the file that belongs to --backbone",
            ) from error


def name_elsewhere(path: Path) -> str | None:
    """Return the name of a part of an HDF5 file that lies in another file; None where it is whole."""
    import h5py

    def look(group: "h5py.Group") -> str | None:
        for name in group:
            if isinstance(group.get(name, getlink=True), h5py.ExternalLink):
                return name
            item = group[name]
            found = (
                look(item) if isinstance(item, h5py.Group) else name * bool(item.external or item.is_virtual)
            )
            if found:
                return found
        return None

    with h5py.File(path) as file:
        return look(file)


def _backbone_group(file: "h5py.File", model: "keras.Model") -> "h5py.Group":
    """Return the smallest group ``layers`` whose tensors include the backbone's shapes."""
    wanted = Counter(tuple(weight.shape) for weight in model.weights)
    fitting: list[tuple[int, str]] = []

    def look(name: str, item: "h5py.Group | h5py.Dataset") -> None:
        if name.rsplit("/", 1)[-1] == "layers":
            shapes: Counter[tuple[int, ...]] = Counter()
            item.visititems(lambda _, leaf: shapes.update([leaf.shape] if hasattr(leaf, "shape") else []))
            if wanted <= shapes:
                fitting.append((shapes.total(), name))

    file.visititems(look)
    if not fitting:
        raise ValueError("no group with the shapes of this backbone")
    return file[min(fitting)[1]]


def fill_at_random(model: "keras.Model") -> None:
    """He-normal kernels from a numpy generator, so that every version of Keras has the same."""
    generator = np.random.default_rng(0)
    for variable in model.weights:
        shape = variable.shape
        if len(shape) > 1:
            fan_in = np.prod(shape[:2] if shape[-1] == 1 else shape[:-1])  # 1: a depthwise kernel
            variable.assign(generator.normal(0, (2 / fan_in) ** 0.5, shape).astype(variable.dtype))
