"""The command python -m classify benchmark."""

from pathlib import Path
from typing import Annotated

import typer

from classify.commands.options import AsJson, Seed, TrainingRows
from data.console import say, show
from data.source_options import NONE, takes_source_options
from data.sources.options import SourceOptions
from extract.commands.options import (
    Antialias,
    BackboneName,
    Crop,
    ImageSize,
    Pooling,
    Resize,
    ScalingText,
    SourceText,
    WeightsText,
)


@takes_source_options
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
    resize: Resize = None,
    antialias: Antialias = None,
    crop: Crop = None,
    scaling: ScalingText = None,
    pooling: Pooling = "avg",
    seed: Seed = 0,
    how: SourceOptions = NONE,
    as_json: AsJson = False,
) -> None:
    """Compare cached heads with a live frozen backbone and with fine-tuning, on the same rows.

    Writes table, JSON and a figure. At least one epoch of every arm is measured; what is
    extrapolated is marked "projected".

    Example: python -m classify benchmark photos/ --rows 400 --budget 20
    """
    from classify.benchmark.arms import Comparison
    from classify.benchmark.benchmark import benchmark as compare
    from classify.benchmark.report import benchmark_lines
    from extract.backbones.seen import Seen
    from extract.commands.options import default_name, parse_size

    seen = Seen(resize, antialias, crop, scaling, pooling)
    comparison = Comparison(rows, budget, target, seed, backbone, weights, parse_size(image_size), seen)
    folder = output or Path(Path(default_name(source)).stem + "-benchmark")
    report = compare(source, folder, comparison, how, say=say)
    show(report, benchmark_lines, as_json)
