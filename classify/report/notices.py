"""What is wrong, what follows from it, and the command that mends it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from shlex import quote

from classify.audit.findings import Finding
from classify.audit.leaks import LeakScores
from classify.features.applied import KINDS
from classify.features.matrix import FeatureMatrix
from classify.report.judged import Judged
from classify.report.page import Gallery, Notice
from classify.report.plots import percent
from classify.scores.judging import lone_answer
from classify.scores.temperature import calibration_text
from data.text import counted

_FEW = 10  # rows: fewer say nothing of calibration, and that all get one class is chance
_WIDE = 0.1  # width of an interval that says little
_UNCALIBRATED = 0.03  # error of the probabilities, at the least
# Findings about classes: what follows, a command that mends it or shows more, the section that shows it.
_FOLLOWS: dict[str, tuple[str, tuple[str, ...], str]] = {
    "shortcut": (
        "The head may have learned that instead of what is in the picture.",
        ("classify audit", "--shortcuts"),
        "",
    ),
    "confused pair": (
        "One head hardly tells them apart: make one class of them, or correct labels between them.",
        (),
        "confusion",
    ),
    "thin class": (
        "The head has hardly seen it, and what it scores there is mostly chance: add images.",
        (),
        "classes",
    ),
    "imbalance": (
        "The head leans towards frequent classes; accuracy hides that, recall by class shows it.",
        ("", "--class-weight balanced"),
        "classes",
    ),
    "odd image": ("The backbone sees less than it could: extract at a smaller size.", (), ""),
}
_LEVELS = ("serious", "notable")
_NOTHING = Notice(
    "good",
    "Nothing suspicious was found.",
    "No leaks, no contradictions, no thin classes, and enough images to judge by.",
)


@dataclass(frozen=True)
class Context:
    """What is known when notices are made.

    Attributes
    ----------
    bundle : str
    files : tuple of str
    training : callable
        Returns the command that trains such a head, with more options.
    features : FeatureMatrix
    judged : Judged
    scores : dict
    calibration : dict or None
        What fitted the temperature of the bundle.
    findings : sequence of Finding
    estimate : str
        How many labels are wrong.
    galleries : mapping of str to Gallery
    leaks : LeakScores or None
    rejected : int
    growth : dict
    without_pictures : str
    other_corrections : sequence of str
        Warnings of bundles that were trained with other corrections than are given.
    """

    bundle: str
    files: tuple[str, ...]
    training: Callable[..., str]
    features: FeatureMatrix
    judged: Judged
    scores: dict
    calibration: dict | None
    findings: Sequence[Finding]
    estimate: str
    galleries: Mapping[str, Gallery]
    leaks: LeakScores | None
    rejected: int
    growth: dict
    without_pictures: str
    other_corrections: Sequence[str]

    def command(self, name: str, *options: str, bundle: bool = False) -> str:
        """Return a command of ours on the feature files, as a shell takes it."""
        words = [*([self.bundle] if bundle else []), *self.files]
        return " ".join([f"python -m {name}", *map(quote, words), *options])


def notices(context: Context) -> tuple[Notice, ...]:
    """Return what the reader should know before trusting a number, the serious first."""
    found = [notice for check in _CHECKS for notice in check(context)]
    return tuple(sorted(found, key=lambda each: _LEVELS.index(each.level))) or (_NOTHING,)


def _judged_by(context: Context) -> Iterator[Notice]:
    told = {
        "cross-validation": "each fold trains a new head on fewer images: this number is that of the method, "
        "and may be a little lower than that of the saved head",
        "validation": "these images may have helped to choose the head: the number may be too high",
    }
    if context.judged.how in told:
        yield Notice(
            "notable" if context.judged.how == "cross-validation" else "serious",
            f"There are no test images: this is a score of {_judged_words(context.judged)}.",
            _sentence(told[context.judged.how]),
            "",
            "verdict",
        )


def _judged_words(judged: Judged) -> str:
    if judged.how == "cross-validation":
        return f"a cross-validation of {judged.folds} folds"
    return "validation images"


def _seen(context: Context) -> Iterator[Notice]:
    if context.judged.left_out:
        count = counted(context.judged.left_out, f"{context.judged.how} image")
        yield Notice(
            "serious",
            f"{count} also {_are(context.judged.left_out, 'is', 'are')} among the training images.",
            "The head has seen the answer: they are left out of every number on this page.",
            "",
            "copies",
        )


def _leaks(context: Context) -> Iterator[Notice]:
    leaks = context.leaks
    if leaks:
        them = _are(leaks.leaking, "it", "them")
        clean = percent(leaks.clean["accuracy"]["value"]) if leaks.clean else "not known: nothing is left"
        yield Notice(
            "serious",
            f"{counted(leaks.leaking, f'{leaks.split} image')} {_are(leaks.leaking, 'has', 'have')} a copy "
            "in training or validation.",
            f"The head may have learned {them} by heart. Without {them} the accuracy is {clean}, with {them} "
            f"{percent(context.scores['accuracy']['value'])}.",
            context.command("classify audit", "--groups-out", "groups.csv"),
            "copies",
        )


def _contradictions(context: Context) -> Iterator[Notice]:
    found = [each for each in context.findings if each.kind == "contradiction"]
    if found:
        yield Notice(
            "serious",
            f"{counted(len(found), 'image')} {_are(len(found), 'has', 'have')} two labels.",
            "No head can be right about both: tick the wrong one, or leave both out.",
            "",
            "copies",
        )


def _copies(context: Context) -> Iterator[Notice]:
    found = [each for each in context.findings if each.kind == "duplicate"]
    if found:
        yield Notice(
            "notable",
            f"{counted(len(found), 'group')} of images in one class {_are(len(found), 'looks', 'look')} "
            "like copies.",
            "Copies count more than other images, and teach nothing new: look, and leave all but one out.",
            "",
            "copies",
        )


def _suspects(context: Context) -> Iterator[Notice]:
    found = context.galleries["suspects"].found
    if found:
        share = "Some are wrong labels, the others hard images."
        if context.estimate:
            share = f"{_sentence(context.estimate)} The others are hard images."
        yield Notice(
            "notable",
            f"{counted(found, 'label')} {_are(found, 'is', 'are')} doubted: the features say another class.",
            f"{share} Wrong labels teach the wrong thing, and in the test they make errors of right answers: "
            "look at the first ones.",
            context.command("classify audit", "--corrections-out", "corrections.csv"),
            "suspects",
        )


def _corrected(context: Context) -> Iterator[Notice]:
    """Say what corrections moved; without them there is nothing to say."""
    if "corrections" not in context.scores:
        return
    applied, before = context.scores["corrections"], context.scores.get("before_corrections")
    changed = [f"{sum(applied[kind].values())} {words}" for kind, words in KINDS.items() if applied[kind]]
    follows = "The numbers are by the corrected labels."
    if before:
        follows = (
            "They change images that are judged here: the yardstick has moved. By the labels of the file "
            f"the accuracy is {percent(before['accuracy']['value'])}, by the corrected ones "
            f"{percent(context.scores['accuracy']['value'])}."
        )
    done = ", ".join(changed) or "no label is another one than before"
    yield Notice("notable", f"Corrections of {applied['file']} are applied: {done}.", follows)


def _other_corrections(context: Context) -> Iterator[Notice]:
    for text in context.other_corrections:
        what, _, command = text.rpartition(": ")
        yield Notice("serious", _sentence(what), f"Give the same file to this page: {command}.")


def _width(context: Context) -> Iterator[Notice]:
    accuracy, rows = context.scores["accuracy"], context.scores["rows"]
    if accuracy["high"] - accuracy["low"] > _WIDE:
        yield Notice(
            "serious",
            f"{counted(rows, 'image')} {_are(rows, 'is', 'are')} too few to judge by.",
            f"The accuracy may lie anywhere from {percent(accuracy['low'])} to {percent(accuracy['high'])}: "
            "two heads that differ by less cannot be told apart.",
            context.command("classify evaluate", "--cv 5", bundle=True),
            "verdict",
        )


def _lone(context: Context) -> Iterator[Notice]:
    if context.scores["rows"] < _FEW:
        return  # by chance
    for text in lone_answer({"judged": context.scores}):
        yield Notice(
            "serious", _sentence(text.partition(": ")[0]), _sentence(text.partition(": ")[2]), "", "confusion"
        )


def _labels(context: Context) -> Iterator[Notice]:
    for text in context.features.warnings():
        if " several labels: " in text and any(each.kind == "contradiction" for each in context.findings):
            continue
        what, _, follows = text.rpartition("; ")
        yield Notice("notable", _sentence(what), _sentence(follows), "", "classes")


def _about_classes(context: Context) -> Iterator[Notice]:
    """Tell findings that are about no single image, those of a kind in one notice."""
    for kind, (follows, command, link) in _FOLLOWS.items():
        found = [each for each in context.findings if each.kind == kind and not each.digest]
        if found:
            more = f", and {len(found) - 1} more such" if len(found) > 1 else ""
            mend = _command(context, *command) if command else ""
            what, _, numbers = found[0].reason.partition(": ")
            told = " ".join(filter(None, (_sentence(numbers), follows)))
            yield Notice("notable", _sentence(what + more), told, mend, link)


def _command(context: Context, name: str, *options: str) -> str:
    return context.command(name, *options) if name else context.training(*options)


def _calibrated(context: Context) -> Iterator[Notice]:
    ece = context.scores["ece"]
    if ece["low"] > _UNCALIBRATED and context.scores["rows"] >= _FEW:
        gaps = [
            row["rows"] * (row["confidence"] - row["accuracy"])
            for row in context.scores["reliability"]
            if row["rows"]
        ]
        way = "too sure" if sum(gaps) > 0 else "not sure enough"
        yield Notice(
            "notable",
            f"The head is {way}: its probabilities are off by {percent(ece['value'])} on average.",
            "A threshold on them does not do what it says." + _tried(context),
            "" if context.calibration else context.training("--calibrate"),
            "reliability",
        )


def _tried(context: Context) -> str:
    found = context.calibration
    return f" The temperature is {calibration_text(found)}." if found else ""


def _more(context: Context) -> Iterator[Notice]:
    said = context.growth.get("said", "")
    if said.startswith("more labels would probably help"):
        yield Notice(
            "notable",
            "More training images would probably help.",
            _sentence(context.growth["forecast"].said),
            "",
            "growth",
        )


def _rejected(context: Context) -> Iterator[Notice]:
    if context.rejected:
        yield Notice(
            "notable",
            f"{counted(context.rejected, 'file')} could not be read.",
            f"{_are(context.rejected, 'It was', 'They were')} left out of training and of every number here.",
            "",
            "rejected",
        )


def _no_pictures(context: Context) -> Iterator[Notice]:
    if context.without_pictures:
        yield Notice("notable", "This page shows no pictures.", _sentence(context.without_pictures), "", "")


_CHECKS = (
    _lone,
    _leaks,
    _seen,
    _contradictions,
    _judged_by,
    _width,
    _other_corrections,
    _corrected,
    _suspects,
    _copies,
    _labels,
    _about_classes,
    _calibrated,
    _more,
    _rejected,
    _no_pictures,
)


def _are(count: int, one: str, several: str) -> str:
    return one if count == 1 else several


def _sentence(text: str) -> str:
    """Return a text with a capital at its start and a stop at its end."""
    return text[:1].upper() + text[1:].rstrip(".") + "." if text else ""
