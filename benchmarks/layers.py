"""What does a backbone cost that is cut at an early layer? Xception at 150 pixels, OpenVINO, one thread.

python benchmarks/layers.py PHOTOS; all arms in turns. Images are told for a second of the processor, which
other work on the machine hardly changes.
"""

import json
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from machine import machine

from data import open_source
from extract import Recipe
from extract.backbones.layers import output_layers
from extract.engines.engine import Engine, open_engine
from extract.engines.pipeline import decode
from extract.run.bench import in_turns

BACKBONE, IMAGES, TURNS = "xception", 64, 5
ARMS = (("add_1",), ("add_5",), ("add_10",), ("add_5", "avg_pool"), ("avg_pool",))
RESULT = Path(__file__).parent / "results" / "layers.json"


def main(photos: str) -> None:
    """Measure and write the JSON."""
    recipe, source = Recipe.for_backbone(BACKBONE), open_source(photos)
    rows = [source.rows[number] for number in np.linspace(0, len(source.rows) - 1, IMAGES).astype(int)]
    pixels = np.stack([decode(recipe, data) for data in source.read(rows)])
    shares = {layer.name: layer.share for layer in output_layers(BACKBONE, recipe.image_size)}
    engines = {layers: open_engine("openvino", replace(recipe, layers=layers), 1) for layers in ARMS}
    speeds = in_turns(
        {layers: lambda engine=engine: processor_speed(engine, pixels) for layers, engine in engines.items()},
        TURNS,
    )
    result = {
        "machine": machine(),
        "backbone": BACKBONE,
        "image_size": recipe.image_size,
        "images": IMAGES,
        "arms": [
            {
                "layers": layers,
                "share": max(shares[name] for name in layers),
                "images_per_processor_second": found,
                "executed": dict(engines[layers].describe().others)["executed"],
            }
            for layers, found in speeds.items()
        ],
    }
    RESULT.write_text(json.dumps(result, indent=1) + "\n")


def processor_speed(engine: Engine, pixels: np.ndarray) -> float:
    """Return images a second of the processor."""
    started = time.process_time()
    for first in range(0, len(pixels), engine.batch_size):
        engine(pixels[first : first + engine.batch_size])
    return len(pixels) / (time.process_time() - started)


if __name__ == "__main__":
    main(*sys.argv[1:])
