"""Words for people: an error on one line, counts and their nouns, some of many names."""

import os
from collections.abc import Sequence
from shlex import quote


def one_line(text: object, most: int | None = 300) -> str:
    """Return the text of an error, or of anything else, on one line.

    Parameters
    ----------
    text : object
        An error without a text is named by its type.
    most : int or None
        Characters that are kept, the first ones; None keeps all.

    Examples
    --------
    >>> one_line(ValueError("two\\n  lines")), one_line("a long text", 6), one_line(MemoryError())
    ('two lines', 'a long', 'MemoryError')
    """
    line = " ".join(str(text).split())[:most]
    return line or (type(text).__name__ if isinstance(text, BaseException) else "")


def with_type(error: BaseException) -> str:
    """Return the type and the text of an error on one line, for errors that a library raises.

    Examples
    --------
    >>> with_type(KeyError("head"))
    "KeyError: 'head'"
    """
    return f"{type(error).__name__}: {one_line(str(error))}"


def counted(number: int, noun: str) -> str:
    """Return a number and its noun, in the plural where it needs one.

    Examples
    --------
    >>> counted(1, "part"), counted(8, "finished part"), counted(2, "class")
    ('1 part', '8 finished parts', '2 classes')
    """
    return f"{number} {noun if number == 1 else plural(noun)}"


def plural(noun: str) -> str:
    """Return the plural of a noun.

    Examples
    --------
    >>> plural("image"), plural("class"), plural("batch"), plural("epoch")
    ('images', 'classes', 'batches', 'epochs')
    """
    return noun + ("es" if noun.endswith(("s", "tch")) else "s")


def with_article(noun: str) -> str:
    """Return a noun with its indefinite article.

    Examples
    --------
    >>> with_article("bundle"), with_article("exported model")
    ('a bundle', 'an exported model')
    """
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def some_of(names: Sequence[str], most: int = 3) -> str:
    """Return the first names, and dots where there are more.

    Examples
    --------
    >>> some_of(["a.png", "b.png", "c.png", "d.png"])
    'a.png, b.png, c.png, ...'
    """
    return ", ".join([*names[:most], *(["..."] if len(names) > most else [])])


def printable(path: str) -> str:
    """Return a path, or another text, with ``/`` between folders; bytes that are not UTF-8 are escaped.

    Examples
    --------
    >>> printable("cat/caf\\udce9.jpg")
    'cat/caf\\\\udce9.jpg'
    """
    return path.replace(os.sep, "/").encode("utf-8", "backslashreplace").decode()


_PLAIN = frozenset(
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 .,_+:@%/=-"
)  # in quotes of bash


def shell_word(path: object) -> str:
    """Return a path as one writes it in a shell, also one that begins as an option does, or is not UTF-8.

    Examples
    --------
    >>> shell_word("my file.h5"), shell_word("-dash.h5"), shell_word("lat\\udce9.h5")
    ("'my file.h5'", './-dash.h5', "$'lat\\\\xe9.h5'")
    """
    text = f"./{path}" if str(path).startswith("-") else str(path)
    data = os.fsencode(text)
    if data == text.encode("utf-8", "ignore"):
        return quote(text)
    return "$'" + "".join(chr(each) if each in _PLAIN else f"\\x{each:02x}" for each in data) + "'"
