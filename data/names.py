"""Names in tables and figures: short enough, of one width, without signs that move the cursor."""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence

from rich.cells import cell_len, set_cell_size

MOST = 32  # cells of a terminal that a name takes in a table
UNKNOWN = "(unknown)"  # where a row has no label, or a head abstains; a class may be named unknown


def short_names(names: Iterable[str], most: int = MOST) -> dict[str, str]:
    """Return each name as tables show it; those that would look the same get numbers.

    Examples
    --------
    >>> short_names(["cat", "a name that goes on, A", "a name that went on, A"], most=12)
    {'cat': 'cat', 'a name that goes on, A': 'a nam...n, A#1', 'a name that went on, A': 'a nam...n, A#2'}
    """
    short = {name: shortened(name, most) for name in names}
    counts = Counter(short.values())
    return {
        name: text if counts[text] == 1 else f"{text}#{number}"
        for number, (name, text) in enumerate(short.items())
    }


def shortened(name: str, most: int = MOST) -> str:
    """Return a name with dots in its middle where it is too long; letters of East Asia take two cells.

    Examples
    --------
    >>> shortened("a name that goes on", 12), shortened("two\\nlines")
    ('a nam...s on', 'two\\\\nlines')
    """
    text = visible(name)
    if cell_len(text) <= most:
        return text
    tail = (most - 3) // 2
    head = set_cell_size(text, most - 3 - tail).rstrip()
    return head + "..." + set_cell_size(text[::-1], tail).rstrip()[::-1]


def visible(name: str) -> str:
    """Return a name with escapes for signs that cannot be seen, as line breaks and colours of terminals."""
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in name)


def width_of(names: Iterable[str], least: str = "") -> int:
    """Return the cells of the longest name.

    Examples
    --------
    >>> width_of(["cat", "\\u732b\\u732b"])
    4
    """
    return max(map(cell_len, (least, *names)))


def padded(name: str, width: int, right: bool = False) -> str:
    """Return a name with blanks up to a width, in cells; one that is longer stays whole.

    Examples
    --------
    >>> padded("cat", 5), padded("cat", 5, right=True)
    ('cat  ', '  cat')
    """
    blanks = " " * (width - cell_len(name))
    return blanks + name if right else name + blanks


def table_lines(
    heads: Iterable[str], rows: Iterable[Sequence[str]], right: Collection[str] = ()
) -> list[str]:
    """Lay out a table: a line of heads, then the rows, columns two cells apart.

    Parameters
    ----------
    heads : iterable of str
    rows : iterable of sequence of str
    right : collection of str
        Heads of columns that end at their right, as numbers do.

    Examples
    --------
    >>> table_lines(["image", "P"], [["a.jpg", "0.25"], ["long name.jpg", "1"]], right=["P"])
    ['image             P', 'a.jpg          0.25', 'long name.jpg     1']
    """
    columns = list(zip(heads, *rows, strict=True))
    widths = [width_of(column) for column in columns]
    return [
        "  ".join(
            padded(text, width, column[0] in right)
            for text, width, column in zip(line, widths, columns, strict=True)
        ).rstrip()
        for line in zip(*columns, strict=True)
    ]
