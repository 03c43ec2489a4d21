"""How a backbone and its head are trained on images, checked before TensorFlow is imported."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from classify.heads.parameters import TRAINING
from data.allowed import check_values
from data.errors import unknown_name

LOOPS = ("fit", "custom")  # Keras' own, or the guide's
PRECISIONS = ("float32", "float16", "bfloat16")


@dataclass(frozen=True)
class TrainingOptions:
    """How to train.

    Attributes
    ----------
    unfreeze : str
        ``all``, ``none``, ``last``, or a block of the backbone from which on it trains.
    learning_rate : float
        Of Adam.
    epochs, batch_size, patience, seed : int
        `patience` epochs in a row without a lower loss end the run.
    augment : bool
        Random flips and rotations.
    loop : str
        ``fit`` or ``custom``: Keras' or the guide's own.
    precision : str
        Arithmetic of the backbone while it trains: ``float32``, ``float16`` or ``bfloat16``.
    class_weight : str or None
        ``balanced``: rare classes count as much as frequent ones.
    rows : int or None
        So many training rows; see `classify.finetuning.images.load_rows`.

    Raises
    ------
    UsageError
        If a value is not allowed.

    Examples
    --------
    >>> TrainingOptions(unfreeze="block14").epochs
    10
    """

    unfreeze: str = "all"
    learning_rate: float = 1e-5
    epochs: int = 10
    batch_size: int = 32
    patience: int = 3
    seed: int = 0
    augment: bool = True
    loop: str = "fit"
    precision: str = "float32"
    class_weight: str | None = None
    rows: int | None = None

    def __post_init__(self) -> None:
        check_values(vars(self), TRAINING)
        tables: dict[str, tuple[str, ...]] = {"loop": LOOPS, "precision": PRECISIONS}
        tables |= {"class_weight": ("balanced",)} if self.class_weight else {}
        for name, valid in tables.items():
            if str(getattr(self, name)) not in valid:
                raise unknown_name(name, str(getattr(self, name)), valid)


_LIVE = TrainingOptions(unfreeze="none", learning_rate=1e-3, epochs=20, patience=20, augment=False)
LIVE_PARAMETERS = tuple(field.name for field in fields(TrainingOptions) if field.name != "unfreeze")


def live_options(given: Mapping[str, Any] | None = None) -> TrainingOptions:
    """Return how a head is trained live: by default 20 epochs of Adam at 1e-3, not augmented.

    Parameters
    ----------
    given : mapping, optional
        Values of some of `LIVE_PARAMETERS`.

    Raises
    ------
    HeadstartError
        If a name or a value is none of them.

    Examples
    --------
    >>> live_options({"epochs": 5}).learning_rate
    0.001
    """
    given = given or {}
    for name in given:
        if name not in LIVE_PARAMETERS:
            raise unknown_name("parameter of a live head", name, LIVE_PARAMETERS)
    return replace(_LIVE, **given)


OPTIONS = {field.name: f"TrainingOptions({field.name}=...)" for field in fields(TrainingOptions)}
LIVE_OPTIONS = {name: f"live_options({{'{name}': ...}})" for name in LIVE_PARAMETERS}
