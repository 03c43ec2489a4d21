"""What an entry of the table of heads says."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module

from classify.head import Head
from classify.scores.calibration import number_of_logits
from data.allowed import Table, check_values
from data.errors import unknown_name


@dataclass(frozen=True)
class Sharing:
    """What configurations of a head share where they train together.

    Attributes
    ----------
    same, free : tuple of str
        Parameters that are equal in a group, and those that may differ; a configuration that gives
        others, or not all of them, trains alone.
    train : str
        ``module:function``, called with the parameters of each, a seed, training features and labels, and
        validation features; yields the probabilities and classes of each.
    """

    same: tuple[str, ...]
    free: tuple[str, ...]
    train: str


@dataclass(frozen=True)
class Streaming:
    """How a head is fitted to a matrix larger than memory.

    Attributes
    ----------
    fit : str
        ``module:function``, called with the head, its classes, and training and validation rows.
    memory : str
        ``module:function``, called with the head and a `Sizes`; returns the
        bytes that it takes beside blocks of rows.
    """

    fit: str
    memory: str = "classify.heads.streaming:linear_bytes"


@dataclass(frozen=True)
class Sizes:
    """What a training takes in: it decides how much memory and time that needs.

    Attributes
    ----------
    width : int
        Features of a row.
    classes : int
    rows, held_out : int
        Training and validation rows.
    """

    width: int
    classes: int
    rows: int
    held_out: int = 0

    @property
    def weights(self) -> int:
        """Bytes of the coefficients and intercepts of a linear head, in float64."""
        return 8 * (self.width + 1) * number_of_logits(self.classes)


@dataclass(frozen=True)
class Cost:
    """About what one training of a configuration takes of one core; an order, not a promise.

    Measured once (`benchmarks/costs.py`) and fixed, so that what is decided by it is the same everywhere.

    Attributes
    ----------
    nanoseconds : float
        For each feature of each row.
    seconds_besides : float
        Whatever the number of rows.
    a_logit : bool
        Whether both are for each logit: one for two classes, else one a class.
    dear : bool
        Whether a sweep may try it on few rows first, or leave it out.
    """

    nanoseconds: float
    seconds_besides: float = 0.0
    a_logit: bool = False
    dear: bool = False

    def seconds(self, sizes: Sizes) -> float:
        """Return the seconds.

        Examples
        --------
        >>> round(Cost(200, a_logit=True).seconds(Sizes(2048, 10, rows=1000)), 1)
        4.1
        """
        times = number_of_logits(sizes.classes) if self.a_logit else 1
        return times * (self.seconds_besides + self.nanoseconds * 1e-9 * sizes.rows * sizes.width)


@dataclass(frozen=True)
class HeadEntry:
    """All that is said of a head anywhere; called with parameters, it makes one.

    Attributes
    ----------
    name : str
    make : str or function
        ``module:Class``, or a function where the class needs other arguments.
    parameters : Table
        What each may be, in the order of the arguments.
    grid : mapping of str to tuple
        Values that a sweep tries, the simplest first; without any, the head as it is by default.
    cost : Cost
    space : mapping of str to tuple
        What a search proposes: how a parameter varies, and the ends of its range or its values.
    sharing : Sharing, optional
    streaming : Streaming, optional
        None: the head needs all training rows in memory.
    becomes_layers : bool
        Whether it can stand behind its backbone in one Keras model.
    trusted : tuple of str
        Types that a bundle of it may hold besides those that skops trusts by itself.

    Examples
    --------
    >>> from classify import HEADS
    >>> HEADS["knn"](k=3).n_neighbors
    3
    """

    name: str
    make: str | Callable[..., Head]
    parameters: Table
    cost: Cost = Cost(100)
    grid: Mapping[str, tuple] = field(default_factory=dict)
    space: Mapping[str, tuple] = field(default_factory=dict)
    sharing: Sharing | None = None
    streaming: Streaming | None = None
    becomes_layers: bool = False
    trusted: tuple[str, ...] = ()

    def __call__(self, **params: object) -> Head:
        """Make the head, or raise as `check` does."""
        self.check(params)
        make = imported(self.make) if isinstance(self.make, str) else self.make
        return make(**params)

    def check(self, params: Mapping[str, object]) -> None:
        """Raise if the head has no such parameters, or they may not have these values.

        Raises
        ------
        UsageError
            With the nearest names, or with what is allowed.

        Examples
        --------
        >>> from classify import HEADS
        >>> HEADS["mlp"].check({"hidden": 256, "dropout": 0})
        """
        for name in params:
            if name not in self.parameters:
                raise unknown_name(f"parameter of {self.name}", name, self.parameters)
        check_values(params, self.parameters)

    def trainings(self, seeds: int) -> int:
        """Return how often the head is trained where so many seeds are asked for.

        Examples
        --------
        >>> from classify import HEADS
        >>> HEADS["mlp"].trainings(5), HEADS["knn"].trainings(5)
        (5, 1)
        """
        return seeds if "seed" in self.parameters else 1


def imported(reference: str) -> Callable:
    """Return what ``module:name`` names; the module is imported now, since it may be heavy.

    Examples
    --------
    >>> imported("data.text:counted")(2, "head")
    '2 heads'
    """
    module, _, name = reference.partition(":")
    return getattr(import_module(module), name)
