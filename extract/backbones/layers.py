"""The outputs of a backbone that are worth pooling: the ends of blocks and stages, found in its graph."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise

from extract.backbones.applications import checked_size
from extract.backbones.build import AVG_POOL, map_size, operation_flops, pooled_backbone
from extract.backbones.graph import Step, meeting, needed, steps_of, takers_of


@dataclass(frozen=True)
class OutputLayer:
    """A layer whose output is worth pooling.

    Attributes
    ----------
    name : str
        As ``--layer`` and `Recipe.layers` take it.
    width : int
        Features that it gives, one for each channel.
    map_size : tuple of int
        Height and width of the map that is pooled, in places.
    gflop : float
        Of one image up to this layer: what a backbone costs that is cut here.
    share : float
        That over the cost of the whole backbone.
    ends_stage : bool
        Whether it is the last one listed whose map has this size.
    """

    name: str
    width: int
    map_size: tuple[int, int]
    gflop: float
    share: float
    ends_stage: bool = False

    def to_dict(self) -> dict:
        """Return the fields as JSON-ready values."""
        return asdict(self)


def output_layers(backbone: str, size: int | Sequence[int] | None = None) -> list[OutputLayer]:
    """List the outputs worth pooling, the cheapest first; the last is ``avg_pool``, the whole.

    A block begins and ends where all paths through the graph meet: on an ``Add`` or ``Concatenate`` that
    is no gate (a ``Multiply``). Where blocks take what the one before the last made too, as in NASNet,
    a block ends on a merge that several take whose paths meet again only on the way that all go. A
    stage ends with the last such point of each map's size. What normalizes, activates or drops behind an
    end belongs to it. Of outputs that cost the same the deepest is listed.

    Parameters
    ----------
    backbone : str
        A name in `extract.backbones.applications.BACKBONES`. The graph is built, in some seconds; no
        weights are needed.
    size : int or two ints, optional
        Side, or height and width, of images in pixels; by default the backbone's own.

    Returns
    -------
    list of OutputLayer

    Raises
    ------
    HeadstartError
        If the backbone is unknown, or takes no image so small.

    Examples
    --------
    >>> [layer.name for layer in output_layers("vgg16", 64)]  # doctest: +SKIP
    ['block1_conv2', 'block2_conv2', 'block3_conv3', 'block4_conv3', 'avg_pool']
    """
    steps = steps_of(pooled_backbone(backbone, checked_size(backbone, size), (AVG_POOL,)))
    costs = [operation_flops(step.operation) for step in steps]
    found = [_layer(steps, costs, number) for number in _Points(steps, costs).worth_pooling()]
    deepest = {layer.gflop: layer for layer in found if layer.gflop}
    layers = [deepest[cost] for cost in sorted(deepest)]
    ends = {layer.map_size: layer.name for layer in layers}
    return [replace(layer, ends_stage=layer.name == ends[layer.map_size]) for layer in layers]


def _layer(steps: Sequence[Step], costs: Sequence[int], number: int) -> OutputLayer:
    *sides, width = map_size(steps[number].output)
    cost = sum(costs[each] for each in needed(steps, number))
    name = AVG_POOL if number == len(steps) - 1 else steps[number].name
    return OutputLayer(name, width, (sides[0], sides[1]), cost / 1e9, cost / sum(costs))


class _Points:
    """The steps of a graph at which a block or a stage may end."""

    def __init__(self, steps: Sequence[Step], costs: Sequence[int]) -> None:
        self._steps, self._costs = steps, costs
        self._takers = takers_of(steps)
        self._meets = meeting(self._takers)
        self._way = list(self._on_all_paths())

    def worth_pooling(self) -> list[int]:
        """Return the ends of blocks and of stages, in their order."""
        cells = set(self._cells())
        of_blocks = {end for pair in pairwise(self._way) if self._merges(pair[1]) for end in pair}
        points = sorted({*self._way, *cells})
        of_stages = {self._size(point)[:2]: point for point in points if not self._pads(point)}
        chosen = {*cells, *of_blocks, *of_stages.values(), len(self._steps) - 1}
        return sorted(map(self._last_of_it, chosen))

    def _on_all_paths(self) -> Iterator[int]:
        """Yield the steps through which every path from the input to the output goes."""
        step, last = 0, len(self._steps) - 1
        while step != last:
            yield step
            step = self._meets[step]
        yield last

    def _cells(self) -> Iterable[int]:
        """Return merges beside that way which several blocks take."""
        way = set(self._way)
        return (
            step
            for step in set(range(len(self._steps))) - way
            if self._merges(step) and len(self._takers[step]) > 1 and self._meets[step] in way
        )

    def _merges(self, step: int) -> bool:
        """Tell whether paths meet here, other than those of a gate."""
        return len(self._steps[step].inputs) > 1 and self._kind(step) != "Multiply"

    def _pads(self, step: int) -> bool:
        return self._kind(step) == "ZeroPadding2D"

    def _kind(self, step: int) -> str:
        return type(self._steps[step].operation).__name__

    def _size(self, step: int) -> tuple[int, int, int]:
        return map_size(self._steps[step].output)

    def _last_of_it(self, step: int) -> int:
        """Return the last of the steps that normalize or activate the map of one, and do no more."""
        while len(self._takers[step]) == 1:
            (behind,) = self._takers[step]
            more = self._costs[behind] or len(self._steps[behind].inputs) > 1
            if more or self._size(behind) != self._size(step):
                break
            step = behind
        return step
