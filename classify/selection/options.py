"""How heads are tried."""

from dataclasses import dataclass, fields

from classify.heads.parameters import SWEEP
from data.allowed import check_values
from data.errors import UsageError


@dataclass(frozen=True)
class SweepOptions:
    """How heads are tried, by `sweep` or by `classify.selection.search.search`.

    Attributes
    ----------
    seeds : int
        Trainings of each configuration whose head depends on a seed.
    jobs : int
        Processes of a sweep, -1: one for each core; they share the matrix through a memory map.
    trials : int
        Proposals of a search, of all heads together. One that comes again is not trained again.
    choose_by : str
        An entry of `classify.selection.leaderboard.CRITERIA`.
    simplest : bool
        Whether `sweep_and_save` chooses by the one-standard-error rule, which a sweep allows alone.
    cv : int, optional
        Folds of the training and validation rows that judge; 0: the validation rows judge. By default
        they do where there are 30 a class or more.
    budget : float, optional
        Minutes that a sweep may take. What is trained then depends on the machine.
    exhaustive : bool
        Whether a sweep trains every configuration on all rows, however long that takes.

    Raises
    ------
    UsageError
        If a value is not allowed, or there is a budget for an exhaustive sweep.

    Examples
    --------
    >>> SweepOptions(seeds=3).jobs
    -1
    """

    seeds: int = 1
    jobs: int = -1
    trials: int = 50
    choose_by: str = "log_loss"
    simplest: bool = False
    cv: int | None = None
    budget: float | None = None
    exhaustive: bool = False

    def __post_init__(self) -> None:
        check_values(vars(self), SWEEP)
        if self.exhaustive and self.budget is not None:
            raise UsageError(
                "an exhaustive sweep has no budget",
                "every configuration on all rows, or what fits in a time",
                f"budget {self.budget:g} minutes, exhaustive",
                "leave one of the two out",
            )


PLACES = {each.name: f"SweepOptions({each.name}=...)" for each in fields(SweepOptions)}
