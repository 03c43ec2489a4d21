"""The command python -m classify audit."""

import textwrap
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from classify.commands.options import AsJson, CorrectionsFile, Files, Join, Layers, corrected
from data.console import say, say_warnings, show
from data.names import short_names, shortened, table_lines, visible
from data.source_options import NONE, takes_source_options
from data.sources.options import SourceOptions, option_of
from data.text import counted

_STDOUT = Path("-")
_WIDTH = 80  # cells of a terminal
_WORST = 10  # findings of a kind that are shown
_IMAGE, _CLASS = 38, 14  # cells of columns


@takes_source_options
def audit(
    files: Files,
    csv: Annotated[
        Path | None, typer.Option("--csv", metavar="FILE.csv", help="List every finding as CSV; - prints it.")
    ] = None,
    corrections_out: Annotated[
        Path | None,
        typer.Option(metavar="FILE.csv", help="Write labels that are probably wrong, to look through."),
    ] = None,
    groups_out: Annotated[
        Path | None,
        typer.Option(metavar="FILE.csv", help="Write groups of copies, which run and train take."),
    ] = None,
    shortcuts: Annotated[
        bool,
        typer.Option("--shortcuts", help="Read the images too: what else predicts labels, odd images."),
    ] = False,
    source: Annotated[
        str | None, typer.Option(help="Where the images lie; default: where they lay at extraction.")
    ] = None,
    how: SourceOptions = NONE,
    corrections: CorrectionsFile = None,
    layer: Layers = None,
    join: Join = "strict",
    as_json: AsJson = False,
) -> None:
    """Find what is wrong with images and labels: suspects, copies, leaks, outliers, thin classes.

    Labelled images of all splits are audited, each by heads that did not see it.

    Example: python -m classify audit photos.h5 --corrections-out corrections.csv
    """
    from classify.audit.audit import audit as audited
    from classify.audit.duplicates import check_groups, write_groups
    from classify.audit.findings import check_findings, findings_csv, write_findings
    from classify.features.corrections import read_corrections, write_corrections
    from classify.features.images import Images
    from classify.features.load import load_features
    from data.output.checks import check_different, check_file

    printed = csv == _STDOUT
    if printed and as_json:
        raise typer.BadParameter("choose one of --csv - and --json, which lists every finding too")
    if source is not None and not shortcuts:
        raise typer.BadParameter("--source says where the images lie, which --shortcuts reads")
    if how and source is None:
        raise typer.BadParameter(f"without --source there is no meaning in {', '.join(map(option_of, how))}")
    check_different({"--csv": csv, "--corrections-out": corrections_out, "--groups-out": groups_out})
    if csv and not printed:
        check_findings(csv)
    if groups_out:
        check_groups(groups_out)
    if corrections_out:
        check_file(corrections_out, "list of corrections", "--corrections-out")
    features = corrected(load_features(files, layer, join, in_memory=False), corrections)
    images = Images.of(features, source, **how) if shortcuts else None
    found = audited(features, images)
    say_warnings([*found.notes, *([images.warning()] if images and images.warning() else ())])
    written = []
    if csv and not printed:
        write_findings(csv, found.findings)
        written.append(str(csv))
    if corrections_out:
        earlier = None if corrections is None else read_corrections(corrections)
        if copy := write_corrections(corrections_out, found.corrections, earlier):
            say(f"{str(corrections_out)!r} said something else: a copy of it is {str(copy)!r}")
        written.append(str(corrections_out))
    if groups_out:
        write_groups(groups_out, features, found.duplicates)
        written.append(str(groups_out))
    if printed:
        show(findings_csv(found.findings).removesuffix("\n").split("\n"), list, as_json=False)
        return
    values = {"features": features.path, **found.to_dict(), "written": written}
    show(values, audit_lines, as_json)


def audit_lines(values: dict) -> list[str]:
    """Lay out `classify.audit.audit.Audit.to_dict` for people."""
    from classify.audit.findings import KINDS

    counts = Counter(each["kind"] for each in values["findings"])
    images, labelled = counted(values["rows"], "image"), values["labelled"]
    lines = [f"{shortened(values['features'], _IMAGE)}: {images}, {labelled} with a label"]
    rows = [(kind, str(counts[kind]), words) for kind, words in KINDS.items() if counts[kind]]
    lines += table_lines(("finding", "number", "what it is"), rows, ("number",))
    for told in filter(None, (values["label_errors"], values["leaks"])):
        lines += _wrapped(told["sentence"])
    for kind, *_ in rows:
        found = [each for each in values["findings"] if each["kind"] == kind]
        lines += ["", *(_suspect_lines(found) if kind == "label suspect" else _reason_lines(kind, found))]
    return lines + [f"wrote {path}" for path in values["written"]]


def _suspect_lines(found: list[dict]) -> list[str]:
    names = short_names((each[which] for each in found for which in ("label", "suggested")), _CLASS)
    rows = [
        (
            shortened(each["id"], _IMAGE),
            names[each["label"]],
            names[each["suggested"]],
            f"{1 - each['score']:.4f}",
        )
        for each in found[:_WORST]
    ]
    lines = table_lines(("image", "label", "looks like", "P(label)"), rows, ("P(label)",))
    return [f"{_first(found, 'label suspect')}, the worst first", *lines]


def _reason_lines(kind: str, found: list[dict]) -> list[str]:
    lines = [f"{_first(found, kind)}, the worst first" if len(found) > 1 else _first(found, kind)]
    for each in found[:_WORST]:
        image = f"{shortened(each['id'], _IMAGE)}: " if kind in ("outlier", "odd image") else ""
        looks = f"; looks like {each['suggested']}" if each["suggested"] and kind == "contradiction" else ""
        lines += _wrapped(f"{image}{each['reason']}{looks}")
    return lines


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(visible(text), _WIDTH, initial_indent="  ", subsequent_indent="    ")


def _first(found: list[dict], noun: str) -> str:
    number = counted(len(found), noun)
    return number if len(found) <= _WORST else f"{_WORST} of {number}"
