"""Which weights of a backbone train, how many those are, and proof that the others stayed."""

import re
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from data.errors import HeadstartError
from extract.backbones.weights import tensors_digest

if TYPE_CHECKING:
    import keras

_NUMBERED = re.compile(r".*?\d+[a-z]?(?=_|$)")  # the name of a block, in front of those of its layers


@dataclass(frozen=True)
class Counts:
    """Parameters of a model.

    Attributes
    ----------
    total, trainable, non_trainable : int
    """

    total: int
    trainable: int
    non_trainable: int

    def to_dict(self) -> dict:
        """Return the counts as JSON-ready values."""
        return asdict(self)


def unfreeze(backbone: "keras.Model", what: str) -> None:
    """Set which layers of a backbone train; a model that holds it must be compiled again.

    Parameters
    ----------
    backbone : keras.Model
        As `extract.backbones.build.build_backbone` makes it; changed in place.
    what : str
        ``all``, ``none``, or the name of a block of `blocks`: it and all that comes behind it;
        ``last`` is the last of them.

    Raises
    ------
    HeadstartError
        If there is no such block.
    """
    backbone.trainable = what != "none"
    if what in ("all", "none"):
        return
    known = blocks(backbone)
    first = list(known.values())[-1] if what == "last" and known else known.get(what)
    if first is None:
        raise HeadstartError(
            f"{backbone.name} has no block {what!r}",
            f"all, none, last, or one of {', '.join(known)}",
            what,
            "choose one of these names with --unfreeze",
        )
    for layer in backbone.layers[:first]:
        layer.trainable = False


def blocks(backbone: "keras.Model") -> dict[str, int]:
    """Return the blocks of a backbone, each with the place of its first layer.

    A block is what the names of layers have in common up to their first number, as ``block14``
    of ``block14_sepconv1``. Layers that Keras named itself belong to the block they stand in.

    Parameters
    ----------
    backbone : keras.Model
    """
    found: dict[str, int] = {}
    for place, layer in enumerate(backbone.layers):
        match = _NUMBERED.match(layer.name)
        if match and not _named_by_keras(layer):
            found.setdefault(match[0], place)
    return found


def counts(model: "keras.Model") -> Counts:
    """Count the parameters of a model, without the state of its optimizer and random numbers.

    Parameters
    ----------
    model : keras.Model
    """
    trainable, frozen = (
        sum(int(weight.value.shape.num_elements()) for weight in weights)
        for weights in (model.trainable_weights, model.non_trainable_weights)
    )
    return Counts(trainable + frozen, trainable, frozen)


def frozen_digest(backbone: "keras.Model") -> str:
    """Return the digest of the weights of a backbone that do not train.

    Frozen layers are among them, and of those that train BatchNormalization's statistics.

    Parameters
    ----------
    backbone : keras.Model
    """
    return tensors_digest(weight.numpy() for weight in backbone.non_trainable_weights)


def check_frozen(backbone: "keras.Model", before: str) -> None:
    """Raise if weights that were not to train have changed since `frozen_digest` was taken.

    Raises
    ------
    HeadstartError
    """
    after = frozen_digest(backbone)
    if after != before:
        raise HeadstartError(
            "weights that were frozen have changed while training",
            f"digest {before} of the frozen weights and of BatchNormalization's statistics",
            f"digest {after}",
            "use the stock layers and the versions that this version of Headstart is tested with",
        )


def _named_by_keras(layer: "keras.Layer") -> bool:
    return layer.name.replace("_", "").startswith(type(layer).__name__.lower())
