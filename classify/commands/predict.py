"""The command python -m classify predict."""

import os
import sys
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from classify.commands.options import BundleFolder, Join, score_number
from data.console import is_utf8, say, say_warnings, show
from data.names import UNKNOWN, padded, short_names, shortened, table_lines, width_of
from data.output.ours import PREDICTED_IMAGES, PREDICTED_ROWS
from data.text import counted

if TYPE_CHECKING:
    import numpy as np

    from classify.bundle.prediction import Answers, Asked

_LINE, _SHARE = 80, 15  # cells of a terminal, and of probabilities with the blanks before them
_LABELS = 20  # labels, at most, that are counted in a table
_FIRST = 10  # predictions that are shown where all would be too many


def predict(
    bundle: BundleFolder,
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            readable=False,
            metavar="PATH...",
            help="Images, folders, archives, or a feature file; - takes paths from standard input.",
        ),
    ] = None,
    listed: Annotated[
        Path | None,
        typer.Option("--list", metavar="FILE", help="Take paths from a file, one a line or as find -print0."),
    ] = None,
    unlabelled: Annotated[
        bool, typer.Option("--unlabelled", help="Of a feature file only the rows without a label.")
    ] = False,
    split: Annotated[
        str | None, typer.Option(help="Of a feature file only the rows of train, validation or test.")
    ] = None,
    join: Join = "strict",
    abstain: Annotated[
        float | None,
        typer.Option(
            metavar="RATE",
            help="Say (unknown) of images unlike the training images, and of this share of others.",
        ),
    ] = None,
    top_k: Annotated[
        int | None, typer.Option("--top-k", metavar="K", help="Tell the K most probable labels.")
    ] = None,
    coverage: Annotated[
        float | None,
        typer.Option(metavar="SHARE", help="Tell a set of labels that holds the truth so often, as 0.95."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="Write FILE.csv or FILE.json.")
    ] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, with all probabilities.")] = False,
) -> None:
    """Classify images, or rows of a feature file; backbone, size and weights are those of the bundle.

    Several feature files are joined by image. Exits with 1 if an image cannot be read; the others
    are classified all the same.

    Example: python -m classify predict photos-logistic new.jpg more/
    """
    from classify.bundle.predict_file import check_predictions, feature_files
    from classify.bundle.prediction import Asked
    from data.tables.path_list import expanded, paths_in

    if top_k is not None and coverage is not None:
        raise typer.BadParameter("choose one of --top-k and --coverage")
    if as_csv + as_json + (output is not None) > 1:
        raise typer.BadParameter("choose one of -o, --csv and --json")
    if not paths and listed is None:
        raise typer.BadParameter("name images, folders of them or a feature file, or a --list of them")
    if output:
        check_predictions(output)
    given = [*expanded(paths or []), *(paths_in(listed) if listed else [])]
    files = feature_files(given)
    if not files and (unlabelled or split):
        left_out = "--unlabelled" if unlabelled else "--split"
        raise typer.BadParameter(f"{left_out} chooses rows of a feature file; these are images")
    form = Form(as_csv, as_json, output)
    alone = top_k is None and coverage is None and not form.is_json  # no label besides the first is told
    asked = Asked(abstain, 1 if alone else top_k, coverage)
    if files:
        _predict_rows(bundle, files, Chosen(split, unlabelled, join), asked, form)
    else:
        _predict_images(bundle, given, asked, form)


@dataclass(frozen=True)
class Form:
    """How predictions are told; by default as a table."""

    as_csv: bool
    as_json: bool
    output: Path | None

    @property
    def is_json(self) -> bool:
        """Whether there is room for the probability of every class."""
        return self.as_json or (self.output is not None and self.output.suffix.lower() == ".json")


@dataclass(frozen=True)
class Chosen:
    """Which rows of feature files are classified."""

    split: str | None
    unlabelled: bool
    join: str


def _predict_images(bundle: Path, given: list[Path], asked: "Asked", form: Form) -> None:
    from classify.bundle.bundle import Bundle
    from classify.bundle.predict_file import Layout, write_predictions

    predictions = Bundle.load_predictor(bundle)(
        given, asked.abstain, top_k=asked.top_k, coverage=asked.coverage
    )
    values = [prediction.to_dict() for prediction in predictions]
    layout = Layout(PREDICTED_IMAGES, asked)
    if form.output:
        write_predictions(form.output, layout, [values])
        tally, read = Tally(asked), [row for row in values if not row["error"]]
        tally.add(
            (None if row["unknown"] else row["label"] for row in read),
            (len(row["probabilities"]) for row in read),
            values,
        )
        show(form.output, tally.lines, as_json=False)
    elif form.as_csv:
        _print(layout.csv([values]))
    else:
        show(values, partial(prediction_lines, most=asked.most), form.as_json)
    unread = [prediction for prediction in predictions if prediction.error]
    if unread:
        say(f"{len(unread)} of {counted(len(predictions), 'image')} could not be read")
        raise typer.Exit(1)


def _predict_rows(bundle: Path, files: list[Path], chosen: Chosen, asked: "Asked", form: Form) -> None:
    from classify.bundle.bundle import Bundle
    from classify.bundle.predict_file import Layout, chosen_rows, predict_file, row_blocks, write_predictions
    from classify.features.load import load_features

    trained = Bundle.load(bundle)
    features = load_features(files, join=chosen.join, in_memory=False)
    rows = chosen_rows(features, chosen.split, chosen.unlabelled)
    say_warnings(features.arithmetic_warnings(trained.feature_sets))
    tally, layout = Tally(asked, whole=True), Layout(PREDICTED_ROWS, asked)
    answers = tally.counting(predict_file(trained, features, asked, rows), features.ids)
    if form.as_csv:
        _print(layout.csv(row_blocks(features, answers)))
    elif form.as_json:
        _print(layout.json(row_blocks(features, answers), ascii_only=not is_utf8(sys.stdout)))
    elif form.output:
        write_predictions(form.output, layout, row_blocks(features, answers))
        show(form.output, tally.lines, as_json=False)
    else:
        deque(answers, maxlen=0)  # counted, and forgotten
        show(None, tally.lines, as_json=False)


def _print(chunks: Iterable[str]) -> None:
    for chunk in chunks:
        show([chunk.removesuffix("\n")], list, as_json=False)


class Tally:
    """How often each label was given, and the first predictions, of those that pass by.

    Parameters
    ----------
    asked : Asked
    whole : bool
        Whether their names are shown as they are, as ids of rows.
    """

    def __init__(self, asked: "Asked", whole: bool = False) -> None:
        self._asked, self._whole = asked, whole
        self._counts, self._sizes = Counter[str | None](), Counter[int]()
        self._first: list[dict] = []

    def add(self, labels: Iterable[str | None], sizes: Iterable[int], first: Iterable[dict]) -> None:
        """Count labels, None being an abstention, and how many are told; keep the first predictions."""
        self._counts.update(labels)
        self._sizes.update(sizes)
        self._first += islice(first, _FIRST - len(self._first))

    def counting(
        self, answers: "Iterable[tuple[np.ndarray, Answers]]", ids: Sequence[str]
    ) -> "Iterator[tuple[np.ndarray, Answers]]":
        """Yield answers as they come, counted."""
        for rows, said in answers:
            first = said.of([ids[row] for row in rows]) if len(self._first) < _FIRST else ()
            sizes = () if said.sizes is None else said.sizes.tolist()
            self.add(said.labels(abstention=None), sizes, (each.to_dict() for each in first))
            yield rows, said

    def lines(self, output: Path | None) -> list[str]:
        """Lay out the counts and the first predictions for people.

        Examples
        --------
        >>> from classify.bundle.prediction import Asked
        >>> tally = Tally(Asked())
        >>> row = {"file": "a.png", "label": "cat", "probability": 0.75, "unknown": None, "error": ""}
        >>> tally.add(["cat", "cat", None], [], [row | {"probabilities": {}}])
        >>> print("\\n".join(tally.lines(Path("labels.csv"))))
        label      images  share
        cat             2  66.7%
        (unknown)       1  33.3%
        <BLANKLINE>
        file   label  probability
        a.png  cat    0.7500
        wrote labels.csv
        """
        total = self._counts.total()
        names = _shown(self._counts)
        rows = [
            (names[label], f"{count:,}", f"{count / total:.1%}")
            for label, count in self._counts.most_common(_LABELS)
        ]
        head, *counts = table_lines(("label", "images", "share"), rows, ("images", "share"))
        return [
            head + (f"  <- {_LABELS} of {len(self._counts)} labels" if len(self._counts) > _LABELS else ""),
            *counts,
            *self._sizes_lines(),
            f"the first {_FIRST}" if total > _FIRST else "",
            *prediction_lines(self._first, self._asked.most, self._whole),
            *_where_all_are(output, total),
        ]

    def _sizes_lines(self) -> list[str]:
        if self._asked.coverage is None or not self._sizes:
            return []
        total = self._sizes.total()
        mean = sum(size * count for size, count in self._sizes.items()) / total
        return [
            f"sets with a coverage of {self._asked.coverage:g}: {mean:.2f} labels on average, "
            f"one label for {self._sizes[1] / total:.1%}"
        ]


def _where_all_are(output: Path | None, found: int) -> list[str]:
    if output:
        return [f"wrote {output}"]
    return [f"all {found:,}: -o FILE.csv or FILE.json, --csv, --json"] if found > _FIRST else []


def prediction_lines(predictions: list[dict], most: int = 1, whole: bool = False) -> list[str]:
    """Lay out predictions for people, each with so many labels, and a line for each of these.

    An abstention is told apart from a class of that name; paths are those below the folder that all have
    in common, unless they are wanted whole.
    """
    told = [_told(row, most) for row in predictions]
    shown = _shown(label for labels in told for label, _ in labels)
    cells = width_of([shown[label] for labels in told for label, _ in labels], "label")
    room = _LINE - _SHARE - cells
    paths = [row["file"] for row in predictions]
    files = [shortened(name, room) for name in (paths if whole else below_common(paths))]
    width = width_of(files, "file")
    lines = [f"{'file':<{width}}  {'label':<{cells}}  probability"]
    for row, file, labels in zip(predictions, files, told, strict=True):
        said = [f"{padded(shown[label], cells)}  {score_number(share, 6)}" for label, share in labels]
        first, *more = [row["error"]] if row["error"] else said
        lines.append(f"{padded(file, width)}  {first}")
        lines += [" " * (width + 2) + words for words in more]
    return lines


def _shown(labels: Iterable[str | None]) -> dict[str | None, str]:
    """Return labels as tables show them; None is an abstention."""
    names = short_names(label for label in labels if label is not None)
    return dict([(None, UNKNOWN), *names.items()])


def _told(row: dict, most: int) -> list[tuple[str | None, float | None]]:
    """Return the labels that a table shows of an image, and their probabilities; None is an abstention."""
    if row["error"]:
        return []
    several = list(row["probabilities"].items())[:most] if most > 1 else []
    if row["unknown"]:
        return [(None, None), *several]
    return several or [(row["label"], row["probability"])]


def below_common(files: list[str]) -> list[str]:
    """Return the paths below the folder that all have in common; of one file its name.

    Examples
    --------
    >>> below_common(["/a/b/c/1.jpg", "/a/b/2.jpg"]), below_common(["x/1.jpg"])
    (['c/1.jpg', '2.jpg'], ['1.jpg'])
    """
    paths = [Path(file) for file in files]
    if len({path.is_absolute() for path in paths}) != 1:
        return files
    common = os.path.commonpath([path.parent for path in paths])
    return [str(path.relative_to(common)) for path in paths]
