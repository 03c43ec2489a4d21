"""The rounds: every pass on a few rows, then on more, without those that add nothing to a faster one."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from classify.features.load import joined
from classify.frontier.budget import Budget, Cost, predicted
from classify.frontier.compare import adds_nothing
from classify.frontier.extraction import Say, Speed, Workshop, row_bytes, why_left_out
from classify.frontier.front import Contender, is_same, joined_speed, pairs_to_join
from classify.frontier.grid import LAST, Pass, name_of
from data.errors import HeadstartError
from extract.recipe import Recipe

_WORTH = 1.1  # times the speed of float32, from which on bfloat16 is tried


@dataclass(frozen=True)
class Entrant:
    """A pass that runs: its recipe, and where its features are kept."""

    of: Pass
    recipe: Recipe
    path: Path


@dataclass(frozen=True)
class LeftOut:
    """What was not tried, and why."""

    name: str
    reason: str


@dataclass
class Race:
    """What came of the rounds.

    Attributes
    ----------
    shop : Workshop
    budget : Budget
    say : callable
    recorded : mapping of str to Speed
        Measured before on this machine, by the key of a recipe.
    passes : list of Pass
        In the order in which they are tried.
    entrants : dict of Pass to Entrant
    finished : list of Contender
        Judged on all rows that the rounds came to.
    stopped : list of Contender
        Judged on fewer.
    left_out : list of LeftOut
    rows : int
        Of the sample, in the last round.
    """

    shop: Workshop
    budget: Budget
    say: Say
    recorded: Mapping[str, Speed]
    passes: Sequence[Pass]
    entrants: dict[Pass, Entrant] = field(default_factory=dict)
    finished: list[Contender] = field(default_factory=list)
    stopped: list[Contender] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    rows: int = 0
    speeds: dict[str, Speed] = field(default_factory=dict)
    _ids: dict[int, Sequence[str]] = field(default_factory=dict)  # of the images of each round
    _costs: list[Cost] = field(default_factory=list)
    _failures: list[HeadstartError] = field(default_factory=list)
    _judging: float = 0.0  # seconds that the last one took

    def run(self) -> None:
        """Run every round, and join the best.

        Raises
        ------
        HeadstartError
            If no pass could be tried.
        """
        first, *later = self.shop.sample.rounds
        self.finished = list(self._first_round(first))
        self.rows = first
        if not self.finished:
            raise self._failures[0] if self._failures else self.budget.too_small(self.passes[0].name)
        for rows in later:
            self._stop()
            if not self.budget.holds(self._predicted(rows)):
                self.leave(f"{rows} rows in the place of {self.rows}", "they do not fit the budget")
                break
            self.finished = [self._judged(each.passes[0], rows) for each in self.finished]
            self.rows = rows
        self.finished += self._joined()

    def leave(self, name: str, reason: str) -> None:
        """Note that something is not tried, and say so."""
        self.left_out.append(LeftOut(name, reason))
        self.say(f"left out: {name}: {reason}")

    def _first_round(self, rows: int) -> Iterator[Contender]:
        for each in self._with_weights():
            if reason := self._against(each, rows):
                self.leave(each.name, reason)
                continue
            try:
                contender = self._judged(each, rows)
            except HeadstartError as error:
                self._failures.append(error)
                self.leave(each.name, why_left_out(error))
                continue
            yield contender

    def _with_weights(self) -> list[Pass]:
        """Return the passes of backbones whose weights are found, and leave the others out."""
        missing = set()
        for backbone in dict.fromkeys(each.backbone for each in self.passes):
            try:
                self.shop.find_weights(backbone)
            except HeadstartError as error:
                self._failures.append(error)
                self.leave(backbone, why_left_out(error))
                missing.add(backbone)
        return [each for each in self.passes if each.backbone not in missing]

    def _against(self, each: Pass, rows: int) -> str:
        """Return why a pass is not tried; empty if it is."""
        if not self.budget.holds(predicted(each, rows, self._costs)):
            return "it does not fit the budget"
        if each.arithmetic == "bfloat16":
            return _not_worth([cost for cost in self._costs if cost.of.backbone == each.backbone])
        tried = each.layers != LAST and each.replaced("bfloat16") in self.entrants
        return "it is tried in bfloat16" if tried else ""

    def _judged(self, each: Pass, rows: int) -> Contender:
        begun = self.budget.taken
        entrant = self._entrant(each)
        made = self.shop.extract(entrant.recipe, entrant.path, rows)
        speed = self._speed(entrant.recipe, made)
        features = self.shop.features(entrant.path, rows)
        if features.ids != self._ids.setdefault(rows, features.ids):
            raise _changed(each.name, len(self._ids[rows]), len(features.ids))
        extracted = self.budget.taken
        judged = self.shop.judge(features)
        self._judging = self.budget.taken - extracted
        seconds = self.budget.taken - begun
        setup = max(0.0, seconds - (rows / speed.images_per_second if made else 0.0))
        self._costs.append(Cost(each, setup, speed))
        self.say(
            f"{each.name}: log loss {judged.log_loss:.4f} on {judged.rows} rows, "
            f"{speed.images_per_second:.1f} images/s, {seconds:.0f} s"
        )
        width, size = features.X.shape[1], row_bytes(entrant.path)
        return Contender((each,), judged, speed.images_per_second, width, size, speed.is_uncertain)

    def _entrant(self, each: Pass) -> Entrant:
        if each not in self.entrants:
            recipe = self.shop.recipe(each)
            self.entrants[each] = Entrant(each, recipe, self.shop.path(each, recipe))
        return self.entrants[each]

    def _speed(self, recipe: Recipe, made: Speed | None) -> Speed:
        """Return the speed of a pass that most images tell, now, in rounds before, or earlier; else anew."""
        known = (made, self.speeds.get(recipe.key), self.recorded.get(recipe.key))
        speed = Speed.of_most(known) or self.shop.timed(recipe)
        self.speeds[recipe.key] = speed
        return speed

    def _predicted(self, rows: int) -> float:
        more = rows - self.rows
        images = sum(more / each.images_per_second for each in self.finished)
        return images + rows / self.rows * self._judging * len(self.finished)

    def _stop(self) -> None:
        """Take out those that add nothing to a faster one."""
        kept: list[Contender] = []
        for each in sorted(self.finished, key=lambda each: -each.images_per_second):
            faster = next((other for other in kept if self._adds_nothing(each, other)), None)
            if faster is None:
                kept.append(each)
                continue
            self.stopped.append(replace(each, behind=faster))
            self.say(f"stopped at {each.judged.rows} rows: {each.name} adds nothing to {faster.name}")
        self.finished = [each for each in self.finished if each in kept]

    def _adds_nothing(self, slow: Contender, fast: Contender) -> bool:
        others = len(self.finished) - 1
        return adds_nothing(slow.judged, fast.judged, others, is_same(slow, fast))

    def _joined(self) -> Iterator[Contender]:
        for pair in list(pairs_to_join(self.finished)):
            name = name_of([one for each in pair for one in each.passes])
            if not self.budget.holds(2 * self._judging):
                self.leave(name, "it does not fit the budget")
                continue
            parts = [self.shop.features(self.entrants[each.passes[0]].path, self.rows) for each in pair]
            judged = self.shop.judge(joined(parts, "inner"))
            yield Contender(
                tuple(one for each in pair for one in each.passes),
                judged,
                joined_speed([each.images_per_second for each in pair]),
                sum(each.width for each in pair),
                sum(each.row_bytes for each in pair),
                any(each.is_uncertain for each in pair),
            )
            self.say(f"{name}: log loss {judged.log_loss:.4f} on {judged.rows} rows")


def _changed(name: str, before: int, now: int) -> HeadstartError:
    return HeadstartError(
        f"{name} did not get the images that other recipes got",
        f"the same images for all, {before} in this round",
        f"{now} images, or others: the source changed meanwhile",
        "run the same line again: what is kept of images that stayed is not computed again",
    )


def _not_worth(costs: Sequence[Cost]) -> str:
    """Return why bfloat16 of a backbone is not tried: on smaller images it was hardly faster than float32.

    Examples
    --------
    >>> one, other = Pass("xception", 150, "bfloat16"), Pass("xception", 150, "float32")
    >>> _not_worth([Cost(one, 1, Speed(42, 1)), Cost(other, 1, Speed(41, 1))])
    'not worth it: 42.0 images/s at 150 px, where float32 has 41.0'
    """
    speeds = {cost.of: cost.speed.images_per_second for cost in costs}
    for each, speed in speeds.items():
        exact = speeds.get(each.replaced("float32"))
        if each.arithmetic == "bfloat16" and exact and speed < _WORTH * exact:
            return f"not worth it: {speed:.1f} images/s at {each.size} px, where float32 has {exact:.1f}"
    return ""
