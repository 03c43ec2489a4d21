"""The command python -m extract bench."""

from typing import Annotated

import typer

from data.console import json_option, say_warnings, show
from data.source_options import NONE, takes_source_options
from data.sources.options import SourceOptions
from data.sources.source import open_source
from data.text import counted
from extract.commands.options import (
    Antialias,
    BackboneName,
    BatchSize,
    Crop,
    DecodeScale,
    EngineName,
    ImageSize,
    KerasBackend,
    OutputLayers,
    Pooling,
    Precision,
    Quantization,
    Resize,
    ScalingText,
    SourceText,
    Threads,
    WeightsText,
    chosen_engine,
    parse_size,
    say_rejections,
)
from extract.commands.run import quantized_recipe


def bench_lines(values: dict) -> list[str]:
    """Lay out `extract.run.bench.Bench` for people."""
    words = {
        "matrix_product": f"limit: matrix product ({values['limit']}), {values['gflop']:.2f} GFLOP an image",
        "engine": "engine alone",
        "decode": "decode alone",
        "read": "read alone",
        "pipeline": "whole pipeline",
        "keras": "Keras' own: image_dataset_from_directory, predict",
    }
    engine = " ".join(values["engine"][name] for name in ("engine", "version", "device"))
    head = f"{engine}, {counted(values['threads'], 'thread')}, batches of {values['batch_size']}"
    width = max(map(len, words.values()))
    return [
        f"{head}; {values['images']} images, medians of {values['repeats']}",
        f"{'':<{width}}  images/s   ratio",
        *(
            f"{text:<{width}}{values['medians'][name]:>10.1f}{_in_figures(values['ratios'].get(name)):>8}"
            for name, text in words.items()
            if name in values["medians"]
        ),
        *(() if values["ratios"] else ["Keras' own needs TensorFlow and a graph of Keras': no ratio to it"]),
        f"the whole pipeline is at {values['pipeline_over_engine']:.0%} of the engine alone",
        *(
            [f"left out: {counted(len(values['rejections']), 'image')} that cannot be decoded"]
            if values["rejections"]
            else []
        ),
        f"bottleneck: {values['bottleneck']}",
    ]


def _in_figures(ratio: float | None) -> str:
    return "-" if ratio is None else f"{ratio:.2f}"


@takes_source_options
def bench(
    source: SourceText = "digits",
    backbone: BackboneName = "xception",
    image_size: ImageSize = "",
    layer: OutputLayers = ["avg_pool"],  # noqa: B006
    weights: WeightsText = "imagenet",
    engine: EngineName = "auto",
    keras_backend: KerasBackend = None,
    precision: Precision = "float32",
    quantization: Quantization = "none",
    decode_scale: DecodeScale = "full",
    resize: Resize = None,
    antialias: Antialias = None,
    crop: Crop = None,
    scaling: ScalingText = None,
    pooling: Pooling = "avg",
    threads: Threads = None,
    batch_size: BatchSize = None,
    images: Annotated[int, typer.Option(min=1, help="So many of the source's images.")] = 256,
    repeats: Annotated[int, typer.Option(min=1, help="Turns; the table shows medians.")] = 5,
    how: SourceOptions = NONE,
    as_json: Annotated[bool, json_option("every figure")] = False,
) -> None:
    """Measure extraction on this machine: its limit, the engine, decoding, the whole, and Keras' own.

    Example: python -m extract bench photos/
    """
    from extract.backbones.seen import Seen
    from extract.recipe import Recipe
    from extract.run.bench import bench
    from extract.run.options import Options

    engine = chosen_engine(engine, keras_backend)
    opened, size = open_source(source, **how), parse_size(image_size)
    say_warnings(opened.warnings)
    recipe = Recipe.for_backbone(
        backbone,
        weights=weights,
        image_size=size,
        layers=tuple(dict.fromkeys(layer)),
        precision=precision,
        decode_scale=decode_scale,
        **Seen(resize, antialias, crop, scaling, pooling).fields_for(backbone),
    )
    if quantization != "none":
        recipe, _ = quantized_recipe(recipe, quantization, None, opened)
    measured = bench(opened, recipe, Options(engine, batch_size, threads), images=images, repeats=repeats)
    say_rejections(measured.rejections)
    show(measured.to_dict(), bench_lines, as_json)
