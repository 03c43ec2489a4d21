"""Time that the work may take: what was taken, and whether the next step fits."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from classify.frontier.extraction import Speed
from classify.frontier.grid import Pass, work
from data.errors import HeadstartError


@dataclass
class Budget:
    """Minutes for all the work, or none.

    Attributes
    ----------
    minutes : float or None
    now : callable
        A clock in seconds.

    Examples
    --------
    >>> clock = iter([0.0, 30.0, 30.0])
    >>> budget = Budget(1.0, now=lambda: next(clock))
    >>> budget.holds(29.0), budget.holds(31.0)
    (True, False)
    """

    minutes: float | None = None
    now: Callable[[], float] = time.monotonic
    _begun: float = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._begun = self.now()

    @property
    def taken(self) -> float:
        """Seconds since the beginning."""
        return self.now() - self._begun

    def holds(self, seconds: float) -> bool:
        """Tell whether a step of so many seconds fits."""
        return self.minutes is None or self.taken + seconds <= 60 * self.minutes

    def too_small(self, name: str) -> HeadstartError:
        """Make the error for a budget that the first step alone exceeds."""
        return HeadstartError(
            "the budget is too small for one recipe",
            f"time for {name}, the least work of all",
            f"--budget {self.minutes:g}, of which {self.taken / 60:.2g} minutes were taken by then",
            "allow more, or take fewer --rows; what was computed is kept, and not computed again",
        )


@dataclass(frozen=True)
class Cost:
    """What the first round of a pass took.

    Attributes
    ----------
    of : Pass
    setup : float
        Seconds beside the images: weights, conversion, calibration, the head.
    speed : Speed
    """

    of: Pass
    setup: float
    speed: Speed


def predicted(each: Pass, rows: int, known: list[Cost]) -> float:
    """Return about how many seconds a pass over rows takes, by those that were made; 0 if there is none.

    Examples
    --------
    >>> known = [Cost(Pass("xception", 150, "int8"), 20.0, Speed(100, 1.0))]
    >>> predicted(Pass("xception", 300, "int8"), 50, known)
    22.0
    """
    alike = [cost for cost in known if cost.of.arithmetic == each.arithmetic] or known
    if not alike:
        return 0.0
    last = alike[-1]
    return last.setup + rows / last.speed.images_per_second * work(each) / work(last.of)
