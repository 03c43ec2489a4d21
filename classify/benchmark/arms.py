"""What a benchmark compares: its arms, on which rows, and the job of the process of each."""

from dataclasses import dataclass, field
from typing import Any

from classify.finetuning.images import choose_rows
from classify.heads.parameters import BENCHMARK
from data.allowed import check_values
from data.sources.source import Source, open_source
from data.sources.subset import SomeRows
from extract.backbones.seen import Seen

FEATURES, HEAD, RESULT, TABLE, FIGURE = (
    "features.h5",
    "head",
    "benchmark.json",
    "benchmark.txt",
    "benchmark.png",
)


@dataclass(frozen=True)
class Arm:
    """One way to a classifier.

    Attributes
    ----------
    label : str
    epochs : int
        Planned; 0 where nothing trains.
    options : dict
        Of `classify.finetuning.options.TrainingOptions`; empty without a backbone in the graph.
    transplants : bool
        Whether it starts from the cached head.
    """

    label: str
    epochs: int
    options: dict[str, Any] = field(default_factory=dict)
    transplants: bool = False


_LIVE: dict[str, Any] = {"unfreeze": "none", "learning_rate": 1e-3}
ARMS = {
    "extract": Arm("extraction", 0),
    "cached": Arm("cached features", 20),
    "live": Arm("frozen base live", 20, {**_LIVE, "augment": False}),
    "live-augmented": Arm("live, augmented", 20, {**_LIVE, "augment": True}),
    "finetune-last": Arm("fine-tuning, last block", 10, {"unfreeze": "last"}, transplants=True),
    "finetune-all": Arm("fine-tuning, all", 10, {"unfreeze": "all"}, transplants=True),
}


@dataclass(frozen=True)
class Comparison:
    """What is compared, and how long that may take.

    Attributes
    ----------
    rows : int or None
        Training rows, those with the smallest digests; None is all. Validation and test rows stay whole.
    budget : float or None
        Minutes for everything; None is as long as all planned epochs take. One epoch of every
        arm is measured in any case.
    target : float or None
        Validation accuracy whose time is told; None is what the cached head reaches, less 0.01.
    seed : int
    backbone, weights : str
    image_size : tuple of int or None
    seen : Seen

    Raises
    ------
    UsageError
        If a number is not allowed.
    """

    rows: int | None = None
    budget: float | None = None
    target: float | None = None
    seed: int = 0
    backbone: str = "xception"
    weights: str = "imagenet"
    image_size: tuple[int, int] | None = None
    seen: Seen = field(default_factory=Seen)

    def __post_init__(self) -> None:
        check_values(vars(self), BENCHMARK)


@dataclass(frozen=True)
class Job:
    """What one process does; it travels as JSON.

    Attributes
    ----------
    arm : str
        An entry of `ARMS`.
    source, how, rows, seed
        As `classify.benchmark.benchmark.benchmark` and `Comparison` have them.
    recipe : str
        JSON.
    folder : str
    seconds : float or None
        After which no further epoch begins.
    """

    arm: str
    source: str
    how: dict
    rows: int | None
    seed: int
    recipe: str
    folder: str
    seconds: float | None = None


def some_rows(job: Job) -> Source:
    """Return the source of a job, with the chosen rows alone."""
    source = open_source(job.source, **job.how)
    kept = {row.id for pairs in choose_rows(source, job.rows).values() for row, _ in pairs}
    return SomeRows(source, tuple(row for row in source.rows if row.id in kept))
