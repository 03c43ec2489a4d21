"""The rows of feature files to labels, block by block; predictions as CSV and JSON."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

import numpy as np

from classify.bundle.prediction import Answering, Answers, Asked, Classifier
from classify.features.blocks import blocks_of
from classify.features.matrix import FeatureMatrix
from classify.features.rows import LabelledRows
from data.errors import HeadstartError, UsageError, unknown_name
from data.output.atomic import written_aside
from data.output.checks import check_file
from data.output.csv_file import csv_text
from data.output.disk import writing
from data.output.ours import PREDICTIONS
from data.splits import SPLIT_NAMES
from data.text import counted, printable, some_of

Block = Sequence[dict]  # predictions as JSON-ready values
KIND = "list of predictions"
_HDF5 = b"\x89HDF\r\n\x1a\n"


def predict_file(
    bundle: Classifier, features: FeatureMatrix, asked: Asked | None = None, rows: np.ndarray | None = None
) -> Iterator[tuple[np.ndarray, Answers]]:
    """Classify rows of feature files, one matrix product a block, in bounded memory.

    Labels of the rows are not looked at, and may be of classes that the head does not know.

    Parameters
    ----------
    bundle : Bundle
    features : FeatureMatrix
        Loaded with ``in_memory=False`` it may be larger than memory.
    asked : Asked, optional
        What is asked besides the label.
    rows : ndarray of int, shape (n,), optional
        Ascending; by default all.

    Yields
    ------
    rows : ndarray of int, shape (k,)
        Their places in the matrix.
    answers : Answers

    Raises
    ------
    HeadstartError
        If the files are of other recipes, a row holds NaN, or the bundle cannot tell what is asked.

    Examples
    --------
    >>> features = load_features("photos.h5", in_memory=False)  # doctest: +SKIP
    >>> for rows, answers in predict_file(Bundle.load("photos-logistic"), features):  # doctest: +SKIP
    ...     labels = answers.labels()
    """
    answering = Answering(bundle, asked or Asked())
    features = features.select(bundle.feature_sets)
    rows = np.arange(len(features.y)) if rows is None else rows
    for some, block in blocks_of(features.X, rows, features.ids):
        yield some, answering(block)


def chosen_rows(features: FeatureMatrix, split: str | None = None, unlabelled: bool = False) -> np.ndarray:
    """Return the rows of a split, of all of them by default, or those among them that have no label.

    Raises
    ------
    HeadstartError
        If there is no such split, or there are no such rows.
    """
    if split is not None and split not in SPLIT_NAMES:
        raise unknown_name("split", split, SPLIT_NAMES)
    inside = np.full(len(features.y), True) if split is None else features.splits == SPLIT_NAMES.index(split)
    rows = np.flatnonzero(inside & (features.y < 0) if unlabelled else inside)
    if not len(rows):
        wanted = ("rows without a label" if unlabelled else "rows") + (
            f" in the split {split}" if split else ""
        )
        raise HeadstartError(
            f"{features.path!r} has no {wanted}" + (f" in the split {split!r}" if split else ""),
            "rows to classify",
            f"{counted(len(features.y), 'row')}, {int((features.y < 0).sum())} without a label",
            "leave --unlabelled or --split out",
        )
    return rows


def feature_files(paths: Sequence[Path]) -> list[Path]:
    """Return the paths if they are feature files; nothing if they are images.

    Raises
    ------
    HeadstartError
        If there are some of both.
    """
    files = [path for path in paths if is_feature_file(path)]
    others = [path for path in paths if path not in files] if files else []
    if others:
        raise HeadstartError(
            "images and feature files are named together",
            "images and folders of images, or feature files",
            f"{counted(len(files), 'feature file')}, as {printable(str(files[0]))}, and "
            + some_of([printable(str(path)) for path in others]),
            "classify them one after the other",
        )
    return files


def is_feature_file(path: Path) -> bool:
    """Tell whether a path is one for a feature file: by its first bytes, or its ending where it is none.

    Examples
    --------
    >>> is_feature_file(Path("photos.h5")), is_feature_file(Path("photos"))
    (True, False)
    """
    try:
        if path.is_dir():
            return (path / "index.h5").is_file()
        if path.suffix == ".h5":
            return True
        if not path.is_file():
            return False  # a pipe would wait for whoever writes to it
        with open(path, "rb") as file:
            return file.read(len(_HDF5)) == _HDF5
    except (OSError, ValueError):
        return False


@dataclass(frozen=True)
class Layout:
    """How predictions stand in CSV and JSON.

    Attributes
    ----------
    columns : tuple of str
        The first ones of a CSV: `PREDICTED_IMAGES` or `PREDICTED_ROWS` of `data.output.ours`.
    asked : Asked
    """

    columns: tuple[str, ...]
    asked: Asked

    def csv(self, blocks: Iterable[Block]) -> Iterator[str]:
        """Yield predictions as CSV: the header, then the lines of each block.

        Examples
        --------
        >>> row = {"file": "a.png", "label": "cat", "probability": 0.75, "error": ""}
        >>> row["probabilities"] = {"cat": 0.75, "dog": 0.25}
        >>> columns = ("file", "label", "probability", "error")
        >>> print("".join(Layout(columns, Asked(top_k=2)).csv([[row]])), end="")
        file,label,probability,error,label_2,probability_2
        a.png,cat,0.75,,dog,0.25
        """
        columns = [*self.columns, *(["unknown"] if self.asked.abstain is not None else [])]
        ranks = range(2, (self.asked.top_k or 1) + 1)
        header = [*columns, *(f"{name}_{rank}" for rank in ranks for name in ("label", "probability"))]
        in_sets = self.asked.coverage is not None
        header += ["labels"] if in_sets else []
        yield csv_text(header, [])
        for block in blocks:
            rows = (
                [
                    *map(row.get, columns),
                    *_next_best(row["probabilities"], ranks),
                    *([json.dumps(list(row["probabilities"]), ensure_ascii=False)] if in_sets else []),
                ]
                for row in block
            )
            yield csv_text(header, rows).split("\n", 1)[1]

    def json(self, blocks: Iterable[Block], ascii_only: bool = False) -> Iterator[str]:
        """Yield predictions as one JSON list, a line for each.

        Examples
        --------
        >>> print("".join(Layout(("id",), Asked()).json([[{"id": "a"}], [{"id": "b"}]])))
        [
        {"id": "a"},
        {"id": "b"}
        ]
        """
        before = "[\n"
        for block in blocks:
            if block:
                yield before + ",\n".join(json.dumps(row, ensure_ascii=ascii_only) for row in block)
                before = ",\n"
        yield "\n]" if before == ",\n" else "[]"


def _next_best(probabilities: dict[str, float], ranks: range) -> Iterator[object]:
    """Yield label and probability of the labels after the first; None where there are no more."""
    cells = chain.from_iterable(islice(probabilities.items(), 1, None))
    return (next(cells, None) for _ in range(2 * len(ranks)))


def row_blocks(features: LabelledRows, answers: Iterable[tuple[np.ndarray, Answers]]) -> Iterator[list[dict]]:
    """Yield what a head says of the rows of feature files as JSON-ready values, by their digest and id.

    Parameters
    ----------
    features : FeatureMatrix
    answers : iterable of (rows, Answers)
        As `classify.bundle.predict_file.predict_file` yields them.
    """
    for rows, said in answers:
        digests = [features.digests[row].tobytes().hex() for row in rows]
        ids = [features.ids[row] for row in rows]
        found = zip(digests, said.values(ids), strict=True)
        yield [dict(zip(_KEYS, (digest, *values), strict=True)) for digest, values in found]


_KEYS = ("digest", "id", "label", "probability", "probabilities", "unknown", "distance")


def write_predictions(path: Path, layout: Layout, blocks: Iterable[Block]) -> None:
    """Write predictions as CSV or JSON, as the name of the file ends.

    A JSON file holds ``format``, and the list as ``predictions``.

    Raises
    ------
    HeadstartError
        If the file cannot be written, or is there and no list of predictions.
    """
    check_predictions(path)
    chunks = _WRITERS[path.suffix.lower()](layout, blocks)
    with (
        writing(path, "or choose another -o"),
        written_aside(path) as aside,
        open(aside, "w", encoding="utf-8", newline="") as file,
    ):
        file.writelines(chunks)


def _json_file(layout: Layout, blocks: Iterable[Block]) -> Iterator[str]:
    return chain([f'{PREDICTIONS}, "predictions": '], layout.json(blocks), ["}\n"])


_WRITERS: dict[str, Callable[[Layout, Iterable[Block]], Iterator[str]]] = {
    ".csv": Layout.csv,
    ".json": _json_file,
}


def check_predictions(path: Path) -> None:
    """Raise if `write_predictions` would not write there, before the work is done.

    Raises
    ------
    HeadstartError
    """
    if path.suffix.lower() not in _WRITERS:
        raise UsageError(
            f"predictions cannot be written to {str(path)!r}",
            "a name that ends in .csv or .json",
            path.suffix or "a name without an ending",
            "choose another -o",
        )
    check_file(path, KIND)
