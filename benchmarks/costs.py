"""What does one training of each head take of one core, and what does the fixed table of costs say?

    python benchmarks/costs.py TWO_CLASSES.h5 SIX_CLASSES.h5

Rows as in `benchmarks/penalty.py`, in two and in ten classes. The table (`Cost` in `classify/heads/table.py`)
decides what a sweep trains on few rows first; it is an order, and is not adapted to a machine.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
from machine import machine
from penalty import loaded, ten_classes
from threadpoolctl import threadpool_limits

from classify.heads.entry import Sizes
from classify.heads.table import HEADS
from classify.selection.division import Part
from classify.selection.groups import group_of, train_together
from classify.selection.trials import Entry, entries
from data.console import say

ROWS, JUDGING = (600, 3068), 341


def main() -> None:
    """Measure and write the JSON."""
    X = np.concatenate([loaded(Path(path))[0] for path in sys.argv[1:]])
    found = [measured(X, rows, classes) for rows in ROWS for classes in (2, 10)]
    target = Path(__file__).parent / "results" / "costs.json"
    target.write_text(json.dumps({"machine": machine(), "sizes": found}, indent=1) + "\n")


def measured(X: np.ndarray, rows: int, classes: int) -> dict:
    """Return for each head the CPU seconds of all its configurations, and those of the table."""
    X, y, _ = ten_classes(X, rows + JUDGING)
    part = Part(X, y % classes, np.arange(rows), np.arange(rows, len(y)), (), stops=True)
    sizes = Sizes(X.shape[1], classes, rows, JUDGING)
    heads = {}
    for name, head in HEADS.items():
        configurations = entries([name])
        seconds = sum(trained(members, part) for members in together(configurations))
        heads[name] = {"measured": seconds, "table": len(configurations) * head.cost.seconds(sizes)}
        say(f"{rows} rows, {classes} classes, {name}: {heads[name]}")
    return {"rows": rows, "classes": classes, "heads": heads}


def together(configurations: list[Entry]) -> list[list[Entry]]:
    """Return the configurations that train together."""
    groups: dict[tuple[str, ...], list[Entry]] = {}
    for entry in configurations:
        groups.setdefault(group_of(entry), []).append(entry)
    return list(groups.values())


def trained(members: list[Entry], part: Part) -> float:
    """Return the CPU seconds of a training with one thread of BLAS."""
    started = time.process_time()
    with threadpool_limits(1):
        train_together(members, 0, 0, part)
    return time.process_time() - started


if __name__ == "__main__":
    main()
