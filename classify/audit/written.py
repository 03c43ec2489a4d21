"""What an audit writes: its findings as CSV, and corrections to start from."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from classify.audit.findings import Finding
from classify.features.corrections import corrections_csv
from data.output.atomic import written_aside
from data.output.checks import check_file
from data.output.csv_file import csv_text
from data.output.disk import writing
from data.output.ours import FINDINGS


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
    with writing(path, "or choose another --csv"), written_aside(path) as aside:
        aside.write_text(findings_csv(found), "utf-8")


def check_findings(path: Path) -> None:
    """Raise if `write_findings` would not write there, before the work is done.

    Raises
    ------
    HeadstartError
    """
    check_file(path, "list of findings", "--csv")


def write_corrections(path: Path, entries: Iterable[tuple[str, str, str]]) -> None:
    """Write digest, id and label of images as a file that ``--corrections`` takes.

    Raises
    ------
    HeadstartError
        If the file cannot be written, or is there and no list of corrections.
    """
    check_file(path, "list of corrections", "--corrections-out")
    with writing(path, "or choose another --corrections-out"), written_aside(path) as aside:
        aside.write_text(corrections_csv(entries), "utf-8")
