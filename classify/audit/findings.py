"""What an audit finds, in which order it is told, and as CSV."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from data.output.checks import check_file
from data.output.csv_file import csv_text, write_csv
from data.output.ours import FINDINGS

# Kinds of findings, the most harmful first.
KINDS = {
    "contradiction": "one image with several labels",
    "leak": "one image in several splits",
    "label suspect": "a label that the features contradict",
    "duplicate": "one image several times, with one label or none",
    "shortcut": "something that is not in the picture predicts the label",
    "confused pair": "two classes that one head cannot tell apart",
    "thin class": "a class of few images",
    "imbalance": "classes of very different sizes",
    "outlier": "an image unlike everything of its class",
    "odd image": "an image that was enlarged, or holds next to nothing",
}


@dataclass(frozen=True)
class Finding:
    """Something that is probably wrong with an image, or with a class.

    Attributes
    ----------
    kind : str
        One of `KINDS`.
    score : float
        From 0 to 1: 1 is the worst of its kind.
    reason : str
        What is wrong, in a line.
    digest, id : str
        Of the image: sha256 of its bytes in hexadecimal, and its id; empty where it is about a class.
    label : str
        That it has.
    suggested : str
        The label that it looks like; empty where the finding suggests none.
    evidence : tuple of str
        Digests of the images that show it: nearest neighbours, or the others of a cluster.
    """

    kind: str
    score: float
    reason: str
    digest: str = ""
    id: str = ""
    label: str = ""
    suggested: str = ""
    evidence: tuple[str, ...] = ()

    def to_dict(self) -> dict:
        """Return the finding as JSON-ready values."""
        return asdict(self)


def ordered(findings: Iterable[Finding]) -> list[Finding]:
    """Return findings by kind, those of a kind by score, the worst first.

    Examples
    --------
    >>> found = [Finding("outlier", 0.9, "far"), Finding("leak", 0.2, "b"), Finding("leak", 0.7, "a")]
    >>> [(each.kind, each.reason) for each in ordered(found)]
    [('leak', 'a'), ('leak', 'b'), ('outlier', 'far')]
    """
    kinds = list(KINDS)
    return sorted(findings, key=lambda each: (kinds.index(each.kind), -each.score))


def findings_csv(found: Iterable[Finding]) -> str:
    """Lay out findings as CSV; the digests of the evidence stand in one cell, blanks between them.

    Examples
    --------
    >>> print(findings_csv([Finding("outlier", 0.5, "far off", "0a", "=1.png", "cat")]), end="")
    digest,id,kind,score,label,suggested,reason,evidence
    0a,'=1.png,outlier,0.5,cat,,far off,
    """
    return csv_text(FINDINGS, (_cells(each) for each in found))


def _cells(found: Finding) -> list[object]:
    values = found.to_dict() | {"evidence": " ".join(found.evidence)}
    return [values[name] for name in FINDINGS]


def write_findings(path: Path, found: Sequence[Finding]) -> None:
    """Write findings as CSV.

    Raises
    ------
    HeadstartError
        If the file cannot be written, or is there and no list of findings.
    """
    check_findings(path)
    write_csv(path, findings_csv(found), "--csv")


def check_findings(path: Path) -> None:
    """Raise if `write_findings` would not write there, before the work is done.

    Raises
    ------
    HeadstartError
    """
    check_file(path, "list of findings", "--csv")
