"""How much memory training may take, and so whether rows are read in blocks: no reading happens here."""

import re

from classify.heads.table import HEADS
from data.errors import HeadstartError, UsageError

DEFAULT = 10**9  # bytes, for a matrix that is larger
_UNITS = {"": 10**6, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_COPIES = 7  # of the training matrix: the most that a head took (centroid; keras-linear took 2)


def parse_memory(text: str) -> int:
    """Read an amount of memory: a number of megabytes, or one with its unit.

    Returns
    -------
    int
        Bytes.

    Raises
    ------
    HeadstartError
        If it is none, or not above 0.

    Examples
    --------
    >>> parse_memory("500"), parse_memory("1.5 GB")
    (500000000, 1500000000)
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?([KMGT]B|)", text.strip().upper())
    size = int(float(found[1]) * _UNITS[found[2]]) if found else 0
    if not size:
        raise UsageError(
            "--memory is not an amount of memory",
            "megabytes, or a number above 0 with KB, MB, GB or TB, as 500MB or 1.5GB",
            repr(text),
            "correct --memory, or leave it out",
        )
    return size


def how_to_train(name: str, matrix: int, memory: int | None) -> str:
    """Return ``in memory``, ``streaming``, or ``refused`` where the head can do neither.

    Parameters
    ----------
    name : str
        Of the head.
    matrix : int
        Bytes of its training rows.
    memory : int or None
        Bytes that training may take. None: heads that can read a matrix of more than 1 GB in
        blocks do so, and others train in memory.

    Examples
    --------
    >>> how_to_train("logistic", 8 * 10**9, None), how_to_train("knn", 8 * 10**9, None)
    ('streaming', 'in memory')
    >>> how_to_train("knn", 8 * 10**9, 10**9), how_to_train("knn", 10**8, 10**9)
    ('refused', 'in memory')
    """
    fits = matrix <= DEFAULT if memory is None else in_memory_needs(matrix) <= memory
    if HEADS[name].streaming:
        return "in memory" if fits else "streaming"
    return "in memory" if fits or memory is None else "refused"


def in_memory_needs(matrix: int) -> int:
    """Return the bytes that training in memory takes.

    Examples
    --------
    >>> in_memory_needs(100)
    700
    """
    return _COPIES * matrix


def refusal(name: str, matrix: int, memory: int) -> HeadstartError:
    """Make the error for a head that cannot read its rows in blocks."""
    return HeadstartError(
        f"the head {name} must hold all training rows in memory",
        f"--memory of {readable(in_memory_needs(matrix))} or more; or a head that reads rows in blocks: "
        + ", ".join(name for name, head in HEADS.items() if head.streaming),
        f"--memory of {readable(memory)}",
        "raise --memory, or choose one of those heads",
    )


def too_little(name: str, least: int, memory: int) -> HeadstartError:
    """Make the error for an amount that does not hold what a head works with."""
    return HeadstartError(
        f"--memory is too little for the head {name}",
        f"{readable(least)} or more, for blocks of rows, the head's own arrays and its scores",
        readable(memory),
        "raise --memory",
    )


def readable(size: int) -> str:
    """Return bytes as `parse_memory` reads them, rounded up to tenths.

    Examples
    --------
    >>> readable(1_500_000_000), readable(1_010_000)
    ('1.5GB', '1.1MB')
    """
    unit = next(unit for unit in ("TB", "GB", "MB", "KB") if size >= _UNITS[unit] or unit == "KB")
    return f"{-(-size * 10 // _UNITS[unit]) / 10:g}{unit}"
