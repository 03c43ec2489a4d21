"""Names of splits, and the split of a row that has none."""

import hashlib
import re
from typing import Protocol

from data.errors import HeadstartError

SPLIT_NAMES = ("train", "validation", "test")
_COMMON = {  # in lower case; Hugging Face's datasets read `eval` as test, too
    "train": "train trn training trainval",
    "validation": "validation val valid validate dev devel development",
    "test": "test tst testing eval evaluation holdout",
}
_FULL = {name: split for split, names in _COMMON.items() for name in names.split()}
_WORDS_AFTER = re.compile(r"[ _-]?(set|split|data|images?|imgs?)$")  # as in train_set, test-images


class HasSplit(Protocol):
    """What may say its split, or the group that must stay in one."""

    @property
    def split(self) -> str | None: ...

    @property
    def group(self) -> str | None: ...


def _split_named(name: str) -> str | None:
    word = name.strip().lower()
    return _FULL.get(word) or _FULL.get(_WORDS_AFTER.sub("", word))


def is_split(name: str) -> bool:
    """Tell whether a folder or a TFDS split of this name is a split: by a common name, in any case.

    Examples
    --------
    >>> [is_split(name) for name in ("val", "Training", "test_set", "cat")]
    [True, True, True, False]
    """
    return _split_named(name) is not None


def split_of_shard(stem: str, shard: re.Pattern[str]) -> str:
    """Return the split that the name of a shard says; empty where it says none.

    Parameters
    ----------
    stem : str
        Of the file, without its suffix.
    shard : re.Pattern
        Its first group is the name before the number.

    Examples
    --------
    >>> pattern = re.compile(r"(.+?)-\\d+$")
    >>> split_of_shard("train-012", pattern), split_of_shard("photos-012", pattern)
    ('train', '')
    """
    match = shard.match(stem)
    name = match[1] if match else stem
    return name if is_split(name) else ""


def split_name(name: str, where: str) -> str | None:
    """Return the full name of a split; empty text means none.

    Raises
    ------
    HeadstartError
        If it is no common name of train, validation or test.

    Examples
    --------
    >>> split_name("val", "list.csv"), split_name("Testing", "list.csv")
    ('validation', 'test')
    """
    if not name:
        return None
    split = _split_named(name)
    if split is None:
        raise HeadstartError(
            f"{where}: unknown split {name!r}",
            "train, validation or test, or another common name of one, as val, dev, Testing",
            name,
            "use one of these names, or none",
        )
    return split


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


def split_of(row: HasSplit, digest: bytes) -> str:
    """Return the split of a row: its own, else that of its group, else that of its image.

    Parameters
    ----------
    row : HasSplit
        As `data.sources.source.Row`.
    digest : bytes
        Sha256 of its image bytes.

    Examples
    --------
    >>> from data.sources.source import Row
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
