"""What differs between two feature files."""

from dataclasses import asdict, dataclass
from pathlib import Path

from extract.feature_file.digests import split_digests
from extract.feature_file.reader import FeatureFile


@dataclass(frozen=True)
class Difference:
    """What differs between two feature files; all empty where nothing does.

    Attributes
    ----------
    recipe : dict of str to list
        Both values of each field that differs.
    arithmetic : list of list of str
        Both ways of adding up products of int8, where each file names its own and they differ.
    split_rule : list of dict
        Both rules by which rows that name no split got one, where they differ.
    only_first, only_second : tuple of str
        Ids.
    other_bytes, other_label, other_split : tuple of str
        Ids that both have, with other image bytes, another label or another split.
    """

    recipe: dict[str, list]
    arithmetic: list[list[str]]
    split_rule: list[dict]
    only_first: tuple[str, ...]
    only_second: tuple[str, ...]
    other_bytes: tuple[str, ...]
    other_label: tuple[str, ...]
    other_split: tuple[str, ...]

    def to_dict(self) -> dict:
        """Return the difference as JSON-ready values."""
        return asdict(self)


def diff(first: str | Path, second: str | Path) -> Difference:
    """Compare recipes field by field, what computed int8, and rows by id.

    Parameters
    ----------
    first, second : str or Path

    Raises
    ------
    HeadstartError
        If one is no feature file.

    Examples
    --------
    >>> diff("photos.h5", "photos299.h5").recipe  # doctest: +SKIP
    {'image_size': [(150, 150), (299, 299)]}
    """
    files = [FeatureFile(path) for path in (first, second)]
    one, two = (rows_by_id(file) for file in files)
    both = [name for name in one if name in two]
    changed = [tuple(name for name in both if one[name][part] != two[name][part]) for part in range(3)]
    return Difference(
        {name: [ours, theirs] for name, ours, theirs in files[0].recipe.differences(files[1].recipe)},
        _arithmetics(files),
        _rules(files),
        tuple(name for name in one if name not in two),
        tuple(name for name in two if name not in one),
        *changed,
    )


def _arithmetics(files: list[FeatureFile]) -> list[list[str]]:
    named = [sorted({each.arithmetic for each in file.engines if each.arithmetic}) for file in files]
    return named if all(named) and named[0] != named[1] else []


def _rules(files: list[FeatureFile]) -> list[dict]:
    one, two = (file.contents.split_rule for file in files)
    return [] if one == two else [one.to_dict(), two.to_dict()]


def rows_by_id(file: FeatureFile) -> dict[str, tuple[bytes, str, int]]:
    """Return digest, class (empty where unknown) and split of each row by its id."""
    contents = file.contents
    splits = contents.splits.tolist()
    values = zip(split_digests(contents.digests), contents.classes(), splits, strict=True)
    return dict(zip(contents.ids, values, strict=True))
