"""What stands on the page, as plain values: the template draws them, and changes nothing."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from classify.audit.leaks import LeakScores
from classify.report.pictures import Pictures
from classify.report.plots import Plot
from classify.report.projection import Projection

_CHANCE = 0.05  # p-value, from which on a difference may well be chance


@dataclass(frozen=True)
class Verdict:
    """What the eye meets first.

    Attributes
    ----------
    accuracy : dict
        ``value``, ``low``, ``high``.
    sentence : str
        The same in words.
    measured, chosen : str
        On which images, and how the head was chosen.
    baseline : float
        Accuracy of always saying the most frequent class.
    baseline_class : str
    """

    accuracy: dict
    sentence: str
    measured: str
    chosen: str
    baseline: float
    baseline_class: str


@dataclass(frozen=True)
class Notice:
    """Something that is wrong, or may be.

    Attributes
    ----------
    level : str
        ``serious``: a number here is wrong or of little use; ``notable``; ``good``.
    what, consequence : str
        A sentence each.
    command : str
        That mends it, or shows more; empty where none does.
    link : str
        The section of the page that shows it; or empty.
    """

    level: str
    what: str
    consequence: str
    command: str = ""
    link: str = ""


@dataclass(frozen=True)
class Card:
    """An image in a gallery.

    Attributes
    ----------
    row : int
        Of the feature matrix.
    suggested : str
        The class that it looks like; empty where nothing says so.
    reason : str
    beside : tuple of int
        Rows that are shown beside it: nearest neighbours, or copies.
    """

    row: int
    suggested: str = ""
    reason: str = ""
    beside: tuple[int, ...] = ()


@dataclass(frozen=True)
class Gallery:
    """Images of one kind.

    Attributes
    ----------
    name : str
        Of its place in the template.
    cards : tuple of Card
        The worst first.
    found : int
        How many there are, of which `cards` may be the first.
    """

    name: str
    cards: tuple[Card, ...] = ()
    found: int = 0


@dataclass(frozen=True)
class Shown:
    """A row that the page shows somewhere.

    Attributes
    ----------
    id, digest : str
    label, predicted : int
        Indices into the page's classes; -1 where unknown, or not judged.
    probability, label_probability : float or None
        Of both, by the first head.
    split : str
    """

    id: str
    digest: str
    label: int
    predicted: int
    probability: float | None
    label_probability: float | None
    split: str


@dataclass(frozen=True)
class Compared:
    """A bundle beside the first one.

    Attributes
    ----------
    name, head : str
    accuracy, log_loss : dict
    mcnemar : dict or None
        The first bundle against this one, as `classify.scores.evaluate.mcnemar` returns it; None for the
        first one itself.
    """

    name: str
    head: str
    accuracy: dict
    log_loss: dict
    mcnemar: dict | None

    @property
    def said(self) -> str:
        """What the test says, in words; empty for the first bundle."""
        if self.mcnemar is None:
            return ""
        if self.mcnemar["p_value"] >= _CHANCE:
            return "no difference that these images show"
        return "worse than the first" if self.mcnemar["difference"]["value"] > 0 else "better than the first"

    @property
    def p_value(self) -> str:
        """The p-value of the test as it is written."""
        value = self.mcnemar["p_value"] if self.mcnemar else 1.0
        return "< 0.001" if value < 0.001 else f"{value:.3f}"


@dataclass(frozen=True)
class Page:
    """All that stands on a report.

    Attributes
    ----------
    title : str
        The path of the first bundle.
    verdict : Verdict
    notices : tuple of Notice
        The serious ones first.
    scores : dict
        As `classify.scores.evaluate.evaluate` returns them.
    confused : list of dict
        Of `confused_pairs`.
    classes : tuple of str
        Those of the head, then others of the file.
    rows : mapping of int to Shown
    galleries : mapping of str to Gallery
    cells : mapping of (int, int) to tuple of int
        Rows of each cell of the confusion matrix, some where they are many.
    leaks : LeakScores or None
        Of rows that training has too.
    map : Projection
    pictures : Pictures
    without_pictures : str
        Why there are none; else empty.
    plots : mapping of str to Plot
        ``interval``, ``coverage``, ``reliability`` and, where there is what they show, ``roc``, ``growth``.
    thresholds : list of tuple
        Threshold, share that is answered, accuracy of these and its interval.
    growth : dict
        Of the learning curve: ``said``, ``forecast`` and ``points``; or ``left_out``, the reason.
    compared : tuple of Compared
        Empty for one bundle.
    frontier : dict or None
        Of recipes, as `classify.frontier.record.read_frontier` returns it.
    rejected : tuple of (str, str)
        Ids and reasons.
    corrected : tuple of (str, str, str)
        Digest, id and label of corrections that were given.
    provenance : mapping of str to list of (str, str)
        Tables of names and values, by caption.
    command : str
        Trains again with the corrections of the page.
    """

    title: str
    verdict: Verdict
    notices: tuple[Notice, ...]
    scores: dict
    confused: list[dict]
    classes: tuple[str, ...]
    rows: Mapping[int, Shown] = field(repr=False)
    galleries: Mapping[str, Gallery] = field(repr=False)
    cells: Mapping[tuple[int, int], tuple[int, ...]] = field(repr=False)
    leaks: LeakScores | None
    map: Projection = field(repr=False)
    pictures: Pictures = field(repr=False)
    without_pictures: str
    plots: Mapping[str, Plot] = field(repr=False)
    thresholds: list[tuple[float, ...]] = field(repr=False)
    growth: dict
    compared: tuple[Compared, ...]
    frontier: dict | None = field(repr=False)
    rejected: tuple[tuple[str, str], ...]
    corrected: tuple[tuple[str, str, str], ...]
    provenance: Mapping[str, list[tuple[str, str]]]
    command: str

    @property
    def name(self) -> str:
        """Name of the bundle without its folder."""
        return Path(self.title).name or self.title
