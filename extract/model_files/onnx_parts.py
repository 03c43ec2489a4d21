"""Which other files an ONNX file takes its weights from, read from its bytes; nothing else is read of it."""

import mmap
from collections.abc import Iterator
from pathlib import Path

# Of the messages of onnx.proto3: which field holds which message.
_FIELDS: dict[str, dict[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {13: "entry"},
}
_KEY, _VALUE = 1, 2  # fields of an entry of a tensor's external data
_DEEP = 50  # messages in each other


def external_files(path: Path) -> list[str]:
    """Return the places of external data that an ONNX file names, each once.

    Parameters
    ----------
    path : Path

    Raises
    ------
    ValueError
        If the bytes are no message of the protocol, as those of a file that was cut.
    """
    with open(path, "rb") as file:
        if not path.stat().st_size:
            raise ValueError("an empty file")
        data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    return list(dict.fromkeys(_places(data, "model", _DEEP)))


def _places(data: memoryview, kind: str, deep: int) -> Iterator[str]:
    if not deep:
        raise ValueError(f"messages in each other, more than {_DEEP} deep")
    for number, part in _messages(data):
        inner = _FIELDS[kind].get(number)
        if inner == "entry":
            entry = {field: bytes(value) for field, value in _messages(part)}
            if entry.get(_KEY) == b"location":
                yield entry.get(_VALUE, b"").decode()
        elif inner:
            yield from _places(part, inner, deep - 1)


def _messages(data: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Yield number and bytes of each field that has a length, as messages and texts have."""
    place = 0
    while place < len(data):
        tag, place = _number(data, place)
        kind = tag & 7
        if kind == 2:
            length, place = _number(data, place)
            if place + length > len(data):
                raise ValueError("it ends before its last field does")
            yield tag >> 3, data[place : place + length]
            place += length
        elif kind == 0:
            _, place = _number(data, place)
        elif kind in (1, 5):
            place += 8 if kind == 1 else 4
        else:
            raise ValueError(f"a field of the kind {kind}, which there is not")
    if place > len(data):
        raise ValueError("it ends before its last field does")


def _number(data: memoryview, place: int) -> tuple[int, int]:
    """Return a number of variable length, and the place behind it."""
    value = 0
    for shift in range(0, 70, 7):
        byte = data[place]
        place += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, place
    raise ValueError("a number of more than 10 bytes")
