"""Properties of images as columns from which a label may be predicted, and the values that part them."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

import numpy as np

from classify.features.image_properties import ImageProperties
from classify.features.rows import LabelledRows
from data.splits import is_split

LEAST = 10  # rows of a class or a text: fewer are left out
JUDGED = 20  # rows of a value, at the least, on which a head is judged
_TEXTS, _VALUES, _RANGES = 100, 8, 4  # texts that have a column; texts and ranges that are named values
NUMBERS = {
    "file size": ("bytes",),
    "JPEG quality": ("quality",),
    "image size": ("width", "height"),
    "aspect ratio": ("aspect",),
    "brightness": ("brightness", "contrast"),
    "border colour": ("red", "green", "blue"),
}
TEXTS = {"file format": "format", "camera": "camera"}
OF_ROWS = ("folder", "group")  # no matter whether there are images
_NAMED = {"bytes", "quality", "aspect"}  # columns that the property names already
_UNITS = {"bytes": " bytes", "width": " pixels", "height": " pixels"}


@dataclass(frozen=True, eq=False)
class PropertyValues:
    """What a property is in each row.

    Attributes
    ----------
    name : str
    X : ndarray of float64, shape (N, C)
        Numbers, NaN where unknown; or a column of 0 and 1 for each frequent text.
    columns : tuple of str
        Names of the columns of numbers.
    texts : ndarray of object, shape (N,), or None
    """

    name: str
    X: np.ndarray = field(repr=False)
    columns: tuple[str, ...] = ()
    texts: np.ndarray | None = field(default=None, repr=False)

    @property
    def varies(self) -> bool:
        """Whether rows differ."""
        return bool((np.nan_to_num(self.X, nan=-np.inf) != np.nan_to_num(self.X[:1], nan=-np.inf)).any())

    def parts(self, y: np.ndarray) -> list[tuple[str, np.ndarray]]:
        """Return values in words, each with the rows that have it.

        Texts are values themselves; numbers are parted into the ranges that tell the labels best.

        Parameters
        ----------
        y : ndarray of int, shape (N,)

        Returns
        -------
        list of (str, ndarray of bool, shape (N,))

        Examples
        --------
        >>> sizes = PropertyValues("file size", np.repeat([[10.0], [12.0], [90.0]], 20, axis=0), ("bytes",))
        >>> [(words, int(rows.sum())) for words, rows in sizes.parts(np.repeat([0, 1], [40, 20]))]
        [('file size 10 to 12 bytes', 40), ('file size 90 bytes', 20)]
        """
        if self.texts is None:
            return list(self._ranges(y))
        found = [text for text, count in Counter(self.texts).most_common(_VALUES) if count >= JUDGED]
        return [(f"{self.name} {text or '(none)'!r}", self.texts == text) for text in found]

    def _ranges(self, y: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
        from sklearn.tree import DecisionTreeClassifier

        tree = DecisionTreeClassifier(
            max_leaf_nodes=_RANGES,
            min_samples_leaf=max(JUDGED, len(y) // 20),
            class_weight="balanced",
            random_state=0,
        )
        leaves = tree.fit(self.X, y).apply(self.X)
        used = sorted({int(column) for column in tree.tree_.feature if column >= 0})
        for leaf in np.unique(leaves):
            rows = leaves == leaf
            texts = [_range_text(self.columns[column], self.X[rows, column]) for column in used]
            words = ", ".join(texts)
            yield words if words.startswith(self.name) else f"{self.name} {words}", rows


def property_values(
    features: LabelledRows, properties: ImageProperties, rows: np.ndarray
) -> list[PropertyValues]:
    """Return every property that is known.

    Parameters
    ----------
    features : LabelledRows
    properties : ImageProperties
    rows : ndarray of int, shape (N,)
        Of the features, all of them in `properties`.
    """
    places = np.searchsorted(properties.rows, rows)
    found = []
    if properties.numbers:
        numbers = {name: column[places] for name, column in properties.numbers.items()}
        numbers["aspect"] = numbers["width"] / numbers["height"]
        for name, columns in NUMBERS.items():
            found.append(PropertyValues(name, np.stack([numbers[each] for each in columns], axis=1), columns))
    for name, column in TEXTS.items():
        if properties.texts:
            found += _of_texts(name, [properties.texts[column][place] for place in places])
    found += _of_texts("folder", _folders(features, rows))
    return found + _of_texts("group", [features.groups[row] for row in rows] if features.groups else [])


def _of_texts(name: str, texts: Sequence[str]) -> list[PropertyValues]:
    """Return texts as columns; nothing where none is frequent."""
    frequent = [text for text, count in Counter(texts).most_common(_TEXTS) if count >= LEAST]
    if not frequent or (name in OF_ROWS and not any(frequent)):  # that rows have none is no property
        return []
        return []
    array = np.array([str(text) for text in texts], object)
    columns = np.stack([array == text for text in frequent], axis=1).astype(np.float64)
    return [PropertyValues(name, columns, texts=array)]


def _folders(features: LabelledRows, rows: np.ndarray) -> list[str]:
    """Return the folder of each row without the names of splits and classes; empty where that is all."""
    known = {_plain(name) for name in features.class_names}
    folders = [
        "/".join(part for part in folder if _plain(part) not in known and not is_split(part))
        for folder in (PurePosixPath(features.ids[row]).parts[:-1] for row in rows)
    ]
    pairs = set(zip(folders, features.y[rows].tolist(), strict=True))
    are_classes = len(pairs) == len({folder for folder, _ in pairs}) == len({label for _, label in pairs})
    return folders if any(folders) and not are_classes else []


def _plain(name: str) -> str:
    """Return a name without what parts the folder ``Cats`` from the class ``cat``."""
    return name.casefold().rstrip("s")


def _range_text(column: str, values: np.ndarray) -> str:
    known = values[~np.isnan(values)]
    form = ".2f" if column == "aspect" else ".0f"
    ends = (
        sorted({format(known.min(), form), format(known.max(), form)}, key=float)
        if len(known)
        else ["unknown"]
    )
    name = "" if column in _NAMED else f"{column} "
    return f"{name}{' to '.join(ends)}{_UNITS.get(column, '') if len(known) else ''}"
