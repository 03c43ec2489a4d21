"""The command python -m classify benchmark."""

from pathlib import Path
from typing import Annotated

import typer

from classify.commands.options import AsJson, Seed, TrainingRows
from classify.scores.intervals import score_text
from data.console import say, show
from data.text import counted
from extract.commands.options import (
    BackboneName,
    DataDir,
    FoldersAreClasses,
    ImageSize,
    SourceText,
    WeightsText,
)


def benchmark(
    source: SourceText,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Folder; default: SOURCE-benchmark.")
    ] = None,
    rows: TrainingRows = None,
    budget: Annotated[
        float | None, typer.Option(help="Minutes for everything; default: all planned epochs.")
    ] = None,
    target: Annotated[
        float | None,
        typer.Option(help="Accuracy to reach; default: the cached head's, less 0.01."),
    ] = None,
    image_size: ImageSize = "",
    backbone: BackboneName = "xception",
    weights: WeightsText = "imagenet",
    seed: Seed = 0,
    data_dir: DataDir = None,
    folders_are_classes: FoldersAreClasses = False,
    as_json: AsJson = False,
) -> None:
    """Compare cached heads with a live frozen backbone and with fine-tuning, on the same rows.

    Writes table, JSON and a figure. At least one epoch of every arm is measured; what is
    extrapolated is marked "projected".

    Example: python -m classify benchmark photos/ --rows 400 --budget 20
    """
    from classify.benchmark.arms import Comparison
    from classify.benchmark.benchmark import benchmark as compare
    from classify.commands.benchmark import benchmark_lines
    from extract.commands.options import default_name, parse_size

    comparison = Comparison(rows, budget, target, seed, backbone, weights, parse_size(image_size))
    folder = output or Path(Path(default_name(source)).stem + "-benchmark")
    report = compare(
        source, folder, comparison, data_dir=data_dir, folders_are_classes=folders_are_classes, say=say
    )
    show(report, benchmark_lines, as_json)


def benchmark_lines(report: dict) -> list[str]:
    """Lay out what `classify.benchmark.report.report_of` returns for people."""
    rows = ", ".join(f"{number} {split}" for split, number in report["split_rows"].items())
    size = "x".join(map(str, report["image_size"]))
    head = f"{'arm':<24}{'epochs':>8}{'s/epoch':>9}{'s in all':>10}{'s, all epochs':>21}"
    lines = [
        f"{report['source']}: {rows} rows; 95 % intervals",
        f"{report['backbone']} {size}, seed {report['seed']}, {counted(report['cores'], 'core')}",
        head + f"  {'test accuracy':<25}{'s to ' + format(report['target'], '.4f'):>12}{'peak MB':>9}",
    ]
    for arm in report["arms"]:
        done = f"{arm['epochs']}/{arm['planned_epochs']}"
        total = f"{arm['total']['seconds']:.1f}" + (" projected" if arm["total"]["projected"] else "")
        reached = "-" if arm["target_seconds"] is None else f"{arm['target_seconds']:.1f}"
        lines.append(
            f"{arm['label']:<24}{done:>8}{arm['seconds_per_epoch']:>9.3g}{arm['seconds']:>10.1f}{total:>21}"
            f"  {score_text(arm['accuracy']):<25}{reached:>12}{arm['peak_memory'] / 1e6:>9.0f}"
        )
    lines += ["", "pairs, McNemar's exact test on the test rows"]
    for each in report["comparisons"]:
        pair = f"{each['first']} against {each['second']}"
        lines.append(f"{pair:<38}{score_text(each['difference'])}  p {each['p_value']:.3g}")
    lines += ["", *report["findings"], "", *(f"note: {note}" for note in report["notes"])]
    return [*lines, f"wrote {report['folder']}"]
