"""How rows that name no split get one: by a hash of their image, or class by class in fractions."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from data.errors import UsageError
from data.splits import SPLIT_NAMES
from data.text import one_line

RULES = ("hash", "stratified")
_USUAL = (0.8, 0.1, 0.1)
_TOLERANCE = 1e-6  # of the sum of fractions


@dataclass(frozen=True)
class SplitRule:
    """How the rows of a feature file that name no split get one.

    Attributes
    ----------
    name : str
        ``hash``: by the bytes of the image, or by the name of its group
        (`data.splits.hashed_split`), for sets that grow. ``stratified``: class by class in
        fractions (`data.stratified.stratified`), for sets that do not.
    fractions : tuple of three float
        Of train, validation and test, which add up to 1; those of ``hash`` are 0.8, 0.1 and 0.1.
    seed : int
        Another one deals other images to the splits; ``hash`` has none.

    Raises
    ------
    UsageError
        If the name is unknown, fractions do not add up to 1, or ``hash`` is given any.

    Examples
    --------
    >>> SplitRule("stratified", (0.7, 0.2, 0.1), seed=3).words
    'stratified by 0.7,0.2,0.1 with seed 3'
    >>> SplitRule().words
    'by a hash of each image'
    """

    name: str = "hash"
    fractions: tuple[float, float, float] = _USUAL
    seed: int = 0

    def __post_init__(self) -> None:
        if self.name not in RULES:
            raise UsageError(
                f"there is no rule of splits {one_line(self.name, 80)!r}",
                " or ".join(RULES),
                one_line(self.name, 80),
                "take stratified for a set that does not grow, hash for one that does",
            )
        object.__setattr__(self, "fractions", _checked(self.fractions))
        if isinstance(self.seed, bool) or not isinstance(self.seed, int) or self.seed < 0:
            raise UsageError(
                "the seed of splits is no whole number, 0 or more",
                "a seed as 0 or 7",
                one_line(self.seed, 80),
                "correct it",
            )
        if not self.is_stratified and (self.fractions, self.seed) != (_USUAL, 0):
            raise UsageError(
                "fractions and a seed of splits go with the rule stratified",
                "the rule stratified beside them; a hash has fixed fractions and no seed",
                f"the rule {self.name}",
                "write SplitRule('stratified', ...), or leave them out",
            )

    @property
    def is_stratified(self) -> bool:
        """Whether a row's split depends on the other rows."""
        return self.name == "stratified"

    @property
    def words(self) -> str:
        """The rule in words."""
        if not self.is_stratified:
            return "by a hash of each image"
        shown = ",".join(f"{fraction:.12g}" for fraction in self.fractions)
        return f"stratified by {shown} with seed {self.seed}"

    def to_dict(self) -> dict:
        """Return the rule as JSON-ready values."""
        return {"name": self.name, "fractions": list(self.fractions), "seed": self.seed}

    @classmethod
    def from_dict(cls, values: dict) -> "SplitRule":
        """Return the rule of `to_dict`.

        Examples
        --------
        >>> SplitRule.from_dict(SplitRule("stratified", seed=3).to_dict())
        SplitRule(name='stratified', fractions=(0.8, 0.1, 0.1), seed=3)
        """
        return cls(values["name"], tuple(values["fractions"]), values["seed"])


def parse_fractions(text: str) -> tuple[float, float, float]:
    """Read the fractions of train, validation and test between commas.

    Raises
    ------
    UsageError
        If they are not three numbers, 0 or more, that add up to 1.

    Examples
    --------
    >>> parse_fractions("0.9, 0.1, 0")
    (0.9, 0.1, 0.0)
    """
    try:
        return _checked(tuple(float(word) for word in text.split(",")))
    except ValueError as error:
        if isinstance(error, UsageError):
            raise
        raise _wrong(text) from None


def _checked(fractions: Sequence[float]) -> tuple[float, float, float]:
    numbers = isinstance(fractions, Sequence) and all(
        isinstance(one, int | float) and not isinstance(one, bool) for one in fractions
    )
    if not numbers or len(fractions) != len(SPLIT_NAMES):
        raise _wrong(fractions)
    train, validation, test = map(float, fractions)
    total = train + validation + test
    if not min(train, validation, test) >= 0 or not math.isclose(total, 1, rel_tol=0, abs_tol=_TOLERANCE):
        raise _wrong(fractions)
    return train, validation, test


def _wrong(received: object) -> UsageError:
    if isinstance(received, Sequence) and not isinstance(received, str):
        received = ",".join(f"{one:g}" if isinstance(one, int | float) else str(one) for one in received)
    return UsageError(
        "these are no fractions of train, validation and test",
        "three numbers, 0 or more, that add up to 1",
        one_line(received, 80) or "nothing",
        "write them between commas, as 0.8,0.1,0.1, or 0.9,0,0.1 for no validation rows",
    )


HASH = SplitRule()  # of files that name no rule, and of new ones
