"""What a sweep trains on all rows, what on few first, and what not at all: by rows and a table of costs."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from classify.heads.entry import Sizes
from classify.heads.table import HEADS
from classify.selection.division import PIECES
from classify.selection.trials import Entry
from data.progress import duration
from data.text import counted

ALL = PIECES
_RUNGS = (1, 3, ALL)  # ninths of the training rows that dear heads learn one after the other
_SURVIVE = 3  # one in so many goes on
_LEAST = 60.0  # seconds that dear heads get in any case
_SHARE = 2.0  # and as many times what the cheap ones take


@dataclass(frozen=True)
class Plan:
    """What a sweep does; the same entries and sizes give the same plan on every machine.

    Attributes
    ----------
    whole : tuple of Entry
        Trained on all rows.
    halved : tuple of Entry
        Trained on a ninth of the rows; the best third goes on to a third of them, and of these the best
        third to all: successive halving, by K. Jamieson, A. Talwalkar (2016), Non-stochastic best arm
        identification and hyperparameter optimization.
    left_out : mapping of str to float
        Heads that are not trained, and the seconds of one core that the table of costs gives them.
    """

    whole: tuple[Entry, ...]
    halved: tuple[Entry, ...]
    left_out: Mapping[str, float]

    def rungs(self) -> list[tuple[int, int]]:
        """Return the ninths of the rows of each rung, and how many of `halved` are trained there."""
        if not self.halved:
            return [(ALL, 0)]
        rungs, count = [], len(self.halved)
        for pieces in _RUNGS:
            rungs.append((pieces, count))
            count = survivors(count)
        return rungs

    @property
    def notes(self) -> list[str]:
        """What is not trained on all rows, a line each."""
        notes = []
        if self.halved:
            (_, first), (_, second), (_, last) = self.rungs()
            names = ", ".join(dict.fromkeys(entry.head for entry in self.halved))
            configurations = counted(first, "configuration")
            notes.append(
                f"{names}: {configurations} on a ninth of the rows, the best {second} on a third, "
                f"the best {last} on all"
            )
        if self.left_out:
            left = [f"{name} (about {duration(seconds)})" for name, seconds in self.left_out.items()]
            notes.append(f"left out, with what it would take of one core: {', '.join(left)}")
        return notes


def survivors(count: int) -> int:
    """Return how many of so many go on to more rows.

    Examples
    --------
    >>> survivors(17), survivors(6), survivors(1)
    (6, 2, 1)
    """
    return math.ceil(count / _SURVIVE)


def everything(chosen: Sequence[Entry]) -> Plan:
    """Train all of it on all rows."""
    return Plan(tuple(chosen), (), {})


def plan_of(chosen: Sequence[Entry], sizes: Sizes, parts: int = 1, seconds: float | None = None) -> Plan:
    """Plan a sweep: cheap heads on all rows, dear ones as far as what they may take allows.

    Dear heads may take twice what the cheap ones do, and a minute of one core in any case. What takes more
    is halved, and if that is still too much, the dearest heads are left out.

    Parameters
    ----------
    chosen : sequence of Entry
    sizes : Sizes
        Of one training.
    parts : int
        Trainings of each configuration: folds.
    seconds : float, optional
        Of one core, for all of it; cheap heads too are left out then, the dearest first, but for one.

    Examples
    --------
    >>> from classify.selection.trials import entries
    >>> plan = plan_of(entries(["ridge", "mlp", "boosting"]), Sizes(2048, 10, rows=20_000))
    >>> [entry.head for entry in plan.whole], len(plan.halved), list(plan.left_out)
    (['ridge'], 4, ['boosting'])
    """
    costs = {name: 0.0 for name in HEADS if any(entry.head == name for entry in chosen)}
    for entry in chosen:
        costs[entry.head] += parts * cost_of(entry, sizes)
    rising = sorted(costs, key=lambda name: (HEADS[name].cost.dear, costs[name]))
    cheap = [name for name in rising if not HEADS[name].cost.dear] or rising[:1]
    if seconds is not None:
        cheap = _within(cheap, costs, seconds) or cheap[:1]
    spent = sum(costs[name] for name in cheap)
    allowed = max(_LEAST, _SHARE * spent) if seconds is None else seconds - spent
    dear = [name for name in rising if HEADS[name].cost.dear and name not in cheap]
    if sum(costs[name] for name in dear) <= allowed:
        trained, halved = [*cheap, *dear], []
    else:
        trained, halved = cheap, _within(dear, {name: costs[name] * _of_halving() for name in dear}, allowed)
    left = {name: costs[name] for name in rising if name not in trained and name not in halved}
    return Plan(
        tuple(entry for entry in chosen if entry.head in trained),
        tuple(entry for entry in chosen if entry.head in halved),
        left,
    )


def cost_of(entry: Entry, sizes: Sizes) -> float:
    """Return the seconds of one core that the table gives to one training of a configuration."""
    return HEADS[entry.head].cost.seconds(sizes)


def _within(names: Sequence[str], costs: Mapping[str, float], allowed: float) -> list[str]:
    """Return the first names whose costs together are allowed."""
    sums = [sum(costs[name] for name in names[: place + 1]) for place in range(len(names))]
    return [name for name, total in zip(names, sums, strict=True) if total <= allowed]


def _of_halving() -> float:
    """Return what halving costs of training all, where cost is in proportion to rows."""
    return sum(pieces / ALL / _SURVIVE**rung for rung, pieces in enumerate(_RUNGS))
