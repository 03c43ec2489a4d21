"""The commands python -m extract info, diff, verify, repair and merge."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from data.console import json_option, say_warnings, show
from data.errors import HeadstartError
from data.names import padded, short_names, width_of
from data.output.ours import kind_of_output
from data.source_options import NONE, takes_source_options
from data.sources.labels import source_warnings
from data.sources.options import SourceOptions, option_of
from data.sources.source import grammar, open_source
from data.split_rule import SplitRule
from data.text import counted, shell_word, some_of
from extract.commands.options import (
    AsJson,
    FilePath,
)

_OWN = ("device", "engine", "version")  # of an engine; what else took part has lines of its own


def diff_lines(values: dict) -> list[str]:
    """Lay out `extract.feature_file.diff.Difference` for people."""
    lines = [f"recipe  {name}: {one} | {two}" for name, (one, two) in values["recipe"].items()]
    if values["arithmetic"]:
        lines.append(f"engine  arithmetic: {' | '.join(' and '.join(each) for each in values['arithmetic'])}")
    if values["split_rule"]:
        lines.append(
            f"splits  {' | '.join(SplitRule.from_dict(each).words for each in values['split_rule'])}"
        )
    words = {
        "only_first": "only in the first",
        "only_second": "only in the second",
        "other_bytes": "with other image bytes",
        "other_label": "with another label",
        "other_split": "in another split",
    }
    for name, text in words.items():
        if values[name]:
            lines.append(f"rows    {len(values[name])} {text}: {some_of(values[name], 5)}")
    return lines or ["no difference"]


def verdict_lines(values: dict) -> list[str]:
    """Lay out `extract.feature_file.verify.Verdict` for people."""
    lines = [f"{values['file']}: {problem}" for problem in values["problems"]]
    if values["damaged"]:
        damaged = counted(len(values["damaged"]), "damaged row")
        lines.append(f"{values['file']}: {damaged}: {some_of(values['damaged_ids'], 5)}")
    remedies = {
        "repair": f"python -m extract repair {shell_word(values['file'])}",
        # A cache other than the one of `verify` may take a changed file for the one it knows.
        "run": f"the command that made {values['file']}, again with --rehash: it reads every file, and "
        "computes only what is missing or has changed",
        "extract": "move it away and extract again",
    }
    return [*lines, f"next: {remedies[values['remedy']]}"] if lines else [f"{values['file']}: sound"]


def repair_lines(values: dict) -> list[str]:
    """Lay out `extract.feature_file.repair.Repair` for people."""
    lines = [f"{values['file']}: {counted(values['kept'], 'row')} kept, {values['dropped']} dropped"]
    if values["salvaged"]:
        lines.append(f"ids and labels were damaged too: the rows are in {values['salvaged']}")
    if values["lost_splits"]:
        lines.append(
            f"lost: the splits, {values['lost_splits']}; give the next run --split again, and train heads "
            "anew, as rows may come into another one"
        )
    if values["dropped"] or values["salvaged"]:
        lines.append(f"next: the command that made {values['file']} computes only what is missing")
    return lines


def info_lines(summary: dict) -> list[str]:
    """Lay out `FeatureFile.summary` for people."""
    lines = [
        f"{summary['file']}: {counted(summary['rows'], 'row')}, {summary['rejected_rows']} rejected, "
        f"{summary['bytes'] / 1e6:.1f} MB" + (", sharded" if summary["layout"] == "sharded" else ""),
        f"source    {', '.join(map(_text, summary['source'].values()))}",
        *recipe_lines(summary),
        *(line for row in summary["engines"] for line in engine_lines(row)),
        *(f"feature   {name} {tuple(shape)}" for name, shape in summary["features"].items()),
        *rule_lines(summary["split_rule"]),
        *class_lines(summary["class_names"], summary["rows_by_split"]),
    ]
    return lines + [f"rejected  {row['id']}: {row['reason']}" for row in summary["rejected"]]


def recipe_lines(values: dict) -> list[str]:
    """Lay out the recipe of features, and where its weights come from."""
    weights = values["weights"]
    return [
        f"recipe    {values['recipe_key'][:16]}",
        *(f"  {name:<18}{_text(value)}" for name, value in values["recipe"].items()),
        f"weights   {weights.get('name', 'unknown')}: {weights.get('origin', '')}",
        *([f"licence   {weights['licence']}"] if "licence" in weights else []),
    ]


def rule_lines(rule: dict) -> list[str]:
    """Say how rows that name no split got theirs, where it is not by a hash of each image."""
    found = SplitRule.from_dict(rule)
    return [f"splits    {found.words}"] if found.is_stratified else []


def class_lines(class_names: Sequence[str], splits: dict[str, dict[str, int]]) -> list[str]:
    """Lay out the rows of each class in each split as a table, with their sums."""
    names = short_names(class_names)
    width = width_of(names.values(), "class")
    return [
        f"{'rows':<10}{'class':<{width}}" + "".join(f"{name:>12}" for name in splits),
        *(
            f"{'':<10}{padded(short, width)}" + "".join(f"{splits[split][name]:>12}" for split in splits)
            for name, short in names.items()
        ),
        f"{'':<10}{'all':<{width}}" + "".join(f"{sum(counts.values()):>12}" for counts in splits.values()),
    ]


def engine_lines(values: dict[str, str]) -> list[str]:
    """Lay out an `extract.recipe.EngineInfo`: name, version and device, and below what else took part."""
    own = [f"{name} {value}" for name, value in values.items() if name in _OWN]
    others = [f"  {name:<18}{value}" for name, value in values.items() if name not in _OWN]
    return [f"engine    {', '.join(own)}", *others]


def _text(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return str(value) if value != "" else "-"


def info(
    file: FilePath,
    as_json: AsJson = False,
) -> None:
    """Show recipe, source, rows by split and class, rejected rows and size of a feature file.

    Example: python -m extract info photos.h5
    """
    from extract.feature_file.reader import FeatureFile

    if kind_of_output(file) == "bundle":
        raise HeadstartError(
            f"{str(file)!r} is a bundle, and no feature file",
            "a file that `python -m extract run` wrote",
            "a bundle",
            f"python -m classify info {shell_word(file)} says what it is",
        )
    show(FeatureFile(file).summary(), info_lines, as_json)


def diff(
    first: FilePath,
    second: Annotated[Path, typer.Argument(help="Another one.")],
    as_json: AsJson = False,
) -> None:
    """Show which fields of the recipe and which rows differ between two feature files.

    Example: python -m extract diff photos.h5 photos299.h5
    """
    from extract.feature_file.diff import diff

    show(diff(first, second).to_dict(), diff_lines, as_json)


@takes_source_options
def verify(
    file: FilePath,
    source: Annotated[str | None, typer.Option(help=f"Compare with this source: {grammar()}")] = None,
    how: SourceOptions = NONE,
    sample: Annotated[int, typer.Option(min=0, help="Extract so many rows of --source again.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Check that a feature file is what was written; exit with 1 if it is not.

    Example: python -m extract verify photos.h5 --source photos/ --sample 20
    """
    from extract.feature_file.verify import verify
    from extract.run.compare import compare

    if source is None and (sample or how):
        given = [*(["--sample"] if sample else []), *map(option_of, how)]
        raise typer.BadParameter(f"without --source there is no meaning in {', '.join(given)}")
    verdict = verify(file)
    if verdict.sound and source is not None:
        opened = open_source(source, **how)
        say_warnings(source_warnings(opened))
        verdict = compare(file, opened, sample)
    show({"file": str(file), **verdict.to_dict()}, verdict_lines, as_json)
    if not verdict.sound:
        raise typer.Exit(1)


def repair(
    file: FilePath,
    as_json: AsJson = False,
) -> None:
    """Drop damaged rows, so that the next run computes just those again.

    Example: python -m extract repair photos.h5
    """
    from extract.feature_file.repair import repair

    show({"file": str(file), **repair(file).to_dict()}, repair_lines, as_json)


def merge(
    folder: Annotated[Path, typer.Argument(help="A sharded feature file.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The file to write.")],
    as_json: Annotated[bool, json_option("the summary")] = False,
) -> None:
    """Turn the parts of a sharded feature file into one file; the folder stays as it is.

    Example: python -m extract merge photos.shards -o photos.h5
    """
    from extract.feature_file.writer import merge

    show(merge(folder, output), info_lines, as_json)
