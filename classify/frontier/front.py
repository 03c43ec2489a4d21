"""Contenders: their costs, the Pareto front, which of them is the best, and which is named."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

from classify.frontier.compare import Judged, difference
from classify.frontier.grid import Pass, Request, name_of
from data.errors import HeadstartError
from data.progress import duration

MOST_JOINED = 3  # pairs that are tried
_BEST_JOINED = 4  # of which they are made


@dataclass(frozen=True, eq=False)
class Contender:
    """Features by one pass, or by several that are joined, judged on the sample.

    Attributes
    ----------
    passes : tuple of Pass
    judged : Judged
    images_per_second : float
        Of all its passes, one after the other.
    width : int
        Features of an image.
    row_bytes : float
        Of a feature file, for each image.
    is_uncertain : bool
        Whether few images, or a short time, told the speed.
    behind : Contender or None
        A faster one for which it was stopped before all rows were judged.
    """

    passes: tuple[Pass, ...]
    judged: Judged
    images_per_second: float
    width: int
    row_bytes: float
    is_uncertain: bool = False
    behind: "Contender | None" = None

    @property
    def name(self) -> str:
        """What tables show."""
        return name_of(self.passes)

    def seconds(self, images: int) -> float:
        """Return how long so many images take: projected, not measured."""
        return images / self.images_per_second


def pareto(contenders: Sequence[Contender]) -> list[Contender]:
    """Return those that none beats in both speed and log loss, the fastest first."""
    front: list[Contender] = []
    for each in sorted(contenders, key=lambda each: (-each.images_per_second, each.judged.log_loss)):
        if not front or each.judged.log_loss < front[-1].judged.log_loss:
            front.append(each)
    return front


def best_of(contenders: Sequence[Contender]) -> Contender:
    """Return the one of the lowest log loss; of several, the fastest."""
    return min(contenders, key=lambda each: (each.judged.log_loss, -each.images_per_second))


def is_same(one: Contender, other: Contender) -> bool:
    """Tell whether two are the same features in other arithmetics."""
    return [each.replaced("") for each in one.passes] == [each.replaced("") for each in other.passes]


def alike(contenders: Sequence[Contender], stopped: Sequence[Contender], best: Contender) -> list[Contender]:
    """Return those that the rows cannot tell from the best, which is one of them.

    One that was stopped is alike if the one for which it was stopped is, and the rows of then cannot tell
    the two apart.

    Parameters
    ----------
    contenders : sequence of Contender
        Judged on all rows.
    stopped : sequence of Contender
        In the order in which they were.
    best : Contender
    """
    several = max(1, len(contenders) + len(stopped) - 1)
    found = [
        each for each in contenders if each is best or difference(each.judged, best.judged, several).alike
    ]
    for each in reversed(stopped):
        faster = each.behind
        near = faster and faster.passes in {other.passes for other in found}
        if near and faster and difference(each.judged, faster.judged, several).alike:
            found.append(each)
    return found


def named(contenders: Sequence[Contender], request: Request, images: int) -> Contender:
    """Return the one to extract: of those within the limits the fastest on their front as good as the best.

    As good is within one standard error of the difference: the rule of L. Breiman and others (1984),
    Classification and regression trees, section 3.4.3.

    Raises
    ------
    HeadstartError
        If none is within the limits.
    """
    fitting = [each for each in contenders if fits(each, request, images)]
    if not fitting:
        raise _none_fits(contenders, request, images)
    best = best_of(fitting)
    good = [each for each in pareto(fitting) if each is best or difference(each.judged, best.judged).is_near]
    return max(good, key=lambda each: each.images_per_second)


def fits(contender: Contender, request: Request, images: int) -> bool:
    """Tell whether a contender is within the limits of a request."""
    slow = request.images_per_second and contender.images_per_second < request.images_per_second
    return not slow and (request.budget is None or contender.seconds(images) <= 60 * request.budget)


def _none_fits(contenders: Sequence[Contender], request: Request, images: int) -> HeadstartError:
    fastest = max(contenders, key=lambda each: each.images_per_second)
    time = duration(fastest.seconds(images))
    asked = request.images_per_second
    todo = [
        *([f"lower --images-per-second to less than {fastest.images_per_second:.1f}"] if asked else []),
        *(["allow more time with --budget"] if request.budget else []),
        "try smaller images: --image-sizes",
    ]
    limits = [
        *([f"{request.budget:g} minutes for {images:,} images"] if request.budget else []),
        *([f"{asked:g} images/s"] if asked else []),
    ]
    return HeadstartError(
        "no recipe that was tried is fast enough",
        " and ".join(limits),
        f"{fastest.name}, the fastest: {fastest.images_per_second:.1f} images/s, {time} for all",
        ", or ".join(todo),
    )


def pairs_to_join(contenders: Sequence[Contender]) -> Iterator[tuple[Contender, Contender]]:
    """Yield pairs of the best contenders that differ in size or backbone, the best pairs first."""
    ranked = sorted(contenders, key=lambda each: each.judged.log_loss)
    chosen: dict[tuple[str, int], Contender] = {}
    for each in ranked:
        (one,) = each.passes
        chosen.setdefault((one.backbone, one.size), each)
    pairs = combinations(list(chosen.values())[:_BEST_JOINED], 2)
    best = sorted(pairs, key=lambda pair: pair[0].judged.log_loss + pair[1].judged.log_loss)
    yield from best[:MOST_JOINED]


def joined_speed(speeds: Sequence[float]) -> float:
    """Return images a second of passes that run one after the other.

    Examples
    --------
    >>> joined_speed([60.0, 30.0])
    20.0
    """
    return 1 / sum(1 / speed for speed in speeds)
