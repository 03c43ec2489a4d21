"""Names of splits, and the split of a row that has none."""

import hashlib

from data.errors import HeadstartError

SPLIT_NAMES = ("train", "validation", "test")
_ALIASES = {"train": "train", "val": "validation", "validation": "validation", "test": "test"}


def is_split(name: str) -> bool:
    """Tell whether a folder or a TFDS split of this name is a split that we know.

    Examples
    --------
    >>> is_split("val"), is_split("cat")
    (True, False)
    """
    return name in _ALIASES


def split_name(name: str, where: str) -> str | None:
    """Return the full name of a split; empty text means none.

    Raises
    ------
    HeadstartError
        If it is none of train, val, validation, test.

    Examples
    --------
    >>> split_name("val", "list.csv")
    'validation'
    """
    if not name:
        return None
    if name not in _ALIASES:
        raise HeadstartError(
            f"{where}: unknown split {name!r}", ", ".join(_ALIASES), name, "use one of these names, or none"
        )
    return _ALIASES[name]


def hashed_split(digest: bytes) -> str:
    """Return the split of a row from the sha256 of its image bytes (or of its group).

    With ``u = int.from_bytes(digest[:8], "big") / 2**64``: train below 0.8, validation below
    0.9, test above. It depends on the image alone, so a growing data set never moves a row.

    Examples
    --------
    >>> hashed_split(bytes(32)), hashed_split(bytes([255] * 32))
    ('train', 'test')
    """
    u = int.from_bytes(digest[:8], "big") / 2**64
    return "train" if u < 0.8 else "validation" if u < 0.9 else "test"


def split_of(row, digest: bytes) -> str:
    """Return the split of a row: its own, else that of its group, else that of its image.

    Parameters
    ----------
    row : data.source.Row
    digest : bytes
        Sha256 of its image bytes.

    Examples
    --------
    >>> from data.source import Row
    >>> split_of(Row("a.jpg", 0, split="test"), bytes(32)), split_of(Row("b.jpg", 0), bytes(32))
    ('test', 'train')
    """
    return row.split or hashed_split(group_digest(row.group) if row.group else digest)


def group_digest(group: str) -> bytes:
    """Return the digest that decides the split of a whole group.

    Examples
    --------
    >>> hashed_split(group_digest("patient 7"))
    'train'
    """
    return hashlib.sha256(group.encode()).digest()
