"""The graph of a backbone, step by step: names that stay, what each is made of, where all paths meet."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Step:
    """One operation of a graph.

    Attributes
    ----------
    name : str
        As Keras names it in a process that builds this graph first: Keras itself would go on counting
        from graph to graph, ``add`` to ``add_11`` in the first Xception and ``add_12`` in the second.
    operation : keras.Operation
        A layer, a model inside of the model, or a bare operation such as ``x + y``.
    output : keras.KerasTensor
        In the graph, with the batch as its first axis.
    inputs : tuple of int
        Numbers of the steps whose outputs it takes, ascending, each once.
    """

    name: str
    operation: "keras.Operation"
    output: "keras.KerasTensor"
    inputs: tuple[int, ...]


def steps_of(model: "keras.Model") -> list[Step]:
    """Return the steps on the way from a model's input to its output, each behind those that it takes.

    Parameters
    ----------
    model : keras.Model
        Functional, with one output.
    """
    nodes, numbers = _nodes_behind(model.outputs[0])
    names = _first_names([node.operation for node in nodes])
    return [
        Step(name, node.operation, node.output_tensors[0], _numbers(node, numbers))
        for name, node in zip(names, nodes, strict=True)
    ]


def meeting(takers: Sequence[Sequence[int]]) -> list[int]:
    """Return for each step the first one behind it through which all its paths to the last step go.

    Parameters
    ----------
    takers : sequence of sequence of int
        The steps that take the output of each; their numbers are higher. Only the last has none.

    Returns
    -------
    list of int
        For the last step its own number.

    Notes
    -----
    The immediate post-dominators of the graph, by the two-finger walk of Cooper, Harvey and Kennedy, "A
    Simple, Fast Dominance Algorithm" (2001); one pass is enough where there is no circle.

    Examples
    --------
    >>> meeting([[1, 2], [3], [3], [4], []])  # two ways from 0, which meet at 3
    [3, 3, 3, 4, 4]
    """
    meets = list(range(len(takers)))

    def both(one: int, two: int) -> int:
        while one != two:
            one, two = max(one, two), meets[min(one, two)]
        return one

    for step in reversed(range(len(takers) - 1)):
        meets[step] = reduce(both, takers[step])
    return meets


def takers_of(steps: Sequence[Step]) -> list[list[int]]:
    """Return for each step the numbers of those that take its output."""
    takers: list[list[int]] = [[] for _ in steps]
    for number, step in enumerate(steps):
        for taken in step.inputs:
            takers[taken].append(number)
    return takers


def needed(steps: Sequence[Step], number: int) -> set[int]:
    """Return the numbers of the steps without which one cannot be computed, its own among them."""
    found, left = {number}, [number]
    while left:
        new = set(steps[left.pop()].inputs) - found
        found |= new
        left += new
    return found


def _nodes_behind(output: "keras.KerasTensor") -> tuple[list[Any], dict[int, int]]:
    """Return the nodes that make a tensor, each behind its inputs, and the number of each by its identity."""
    nodes: list[Any] = []
    numbers: dict[int, int] = {}
    left = [(_node(output), False)]
    while left:
        node, is_made = left.pop()
        if id(node) in numbers:
            continue
        if is_made:
            numbers[id(node)] = len(nodes)
            nodes.append(node)
        else:
            left += [(node, True), *((_node(tensor), False) for tensor in node.input_tensors)]
    return nodes, numbers


def _node(tensor: "keras.KerasTensor") -> Any:  # of Keras, which has no public name for it
    history = tensor._keras_history
    return history.operation._inbound_nodes[history.node_index]


def _numbers(node: Any, numbers: dict[int, int]) -> tuple[int, ...]:
    return tuple(sorted({numbers[id(_node(tensor))] for tensor in node.input_tensors}))


def _first_names(operations: "Iterable[keras.Operation]") -> list[str]:
    """Return names of which those that Keras numbers begin anew: it numbers by the name of the class."""
    given = [(each.name, *_parted(each)) for each in operations]
    first: dict[str, int] = {}
    for _, kind, number in given:
        if number is not None:
            first[kind] = min(number, first.get(kind, number))
    return [name if number is None else _numbered(kind, number - first[kind]) for name, kind, number in given]


def _parted(operation: "keras.Operation") -> tuple[str, int | None]:
    """Return the name of an operation's class as Keras writes it, and the number if its own is no more."""
    kind = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", type(operation).__name__)
    kind = re.sub("([a-z])([A-Z])", r"\1_\2", kind).lower()
    found = re.fullmatch(rf"{re.escape(kind)}(?:_(\d+))?", operation.name)
    return kind, int(found[1] or 0) if found else None


def _numbered(kind: str, number: int) -> str:
    return f"{kind}_{number}" if number else kind
