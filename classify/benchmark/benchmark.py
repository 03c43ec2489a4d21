"""Is the cache worth it? Cached heads, live heads and fine-tuning on the same rows, a process each."""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from classify.benchmark.arms import ARMS, FEATURES, FIGURE, HEAD, RESULT, TABLE, Comparison, Job
from classify.benchmark.report import benchmark_lines, report_of
from classify.bundle.folder import check_output as check_bundle
from classify.finetuning.images import choose_rows
from classify.scores.figures import write_figure
from data.child import command_of, environment
from data.console import stderr_handle
from data.errors import HeadstartError, moved_keywords
from data.machine import this_machine
from data.output.atomic import target_of, written_aside
from data.output.checks import check_folder, check_names
from data.output.disk import writing
from data.output.ours import kind_of_output
from data.sources.labels import source_warnings
from data.sources.options import SourceOptions, as_json
from data.sources.source import Source, open_source
from data.stores.urls import shown
from data.text import counted
from extract.backbones.keras_backend import need_tensorflow
from extract.recipe import Recipe

FORMAT = "headstart benchmark"
_KINDS = {FEATURES: "feature file", f"{FEATURES}.parts": "parts of a run", FIGURE: "figure"}
_TODO = "or choose another folder with -o"


@moved_keywords({"settings": "Comparison(...)"})
def benchmark(
    source: str,
    folder: str | Path,
    comparison: Comparison | None = None,
    how: SourceOptions | None = None,
    *,
    say: Callable[[str], None] = lambda text: None,
) -> dict:
    """Compare cached heads with training that has the backbone in the graph, arm after arm.

    Parameters
    ----------
    source : str
        As `data.sources.source.open_source` reads it.
    folder : str or Path
        Gets the features, the cached head, ``benchmark.json``, ``benchmark.txt`` and
        ``benchmark.png``; an older benchmark in it is replaced, other files stay.
    comparison : Comparison, optional
    how : SourceOptions, optional
        As `data.sources.source.open_source` takes them.
    say : callable
        Called with what is being done.

    Returns
    -------
    dict
        As `classify.benchmark.report.report_of` makes it, ready for JSON.

    Raises
    ------
    HeadstartError
        If the source lacks a split or the folder cannot take a benchmark, or an arm fails.

    Examples
    --------
    >>> benchmark("photos/", "photos-benchmark", Comparison(rows=400, budget=20))  # doctest: +SKIP
    """
    started, folder, comparison = time.perf_counter(), Path(folder), comparison or Comparison()
    check_output(folder)
    need_tensorflow("training behind the live backbone")
    how = how or {}
    opened = open_source(source, **how)
    for warning in source_warnings(opened):
        say(f"warning: {warning}")
    found, notes = _counted_rows(opened, comparison.rows)
    recipe = _recipe_of(comparison)
    with writing(folder, _TODO):
        _begin(folder)
    job = Job("", source, as_json(how), comparison.rows, comparison.seed, recipe.to_json(), str(folder))
    results = _run_all(job, started, comparison.budget, say)
    minutes = (time.perf_counter() - started) / 60
    run = {"source": shown(source), "folder": str(folder), **asdict(comparison), "split_rows": found}
    machine = this_machine().to_dict()
    run |= {"image_size": list(recipe.image_size), "minutes": round(minutes, 2), "machine": machine}
    report = report_of(run, ARMS, results, [*notes, *_over_budget(minutes, comparison.budget)])
    with writing(folder, _TODO):
        report["figure"] = str(write_figure(folder / FIGURE, report))
        _write(folder / TABLE, "\n".join(benchmark_lines(report)))
        _write(folder / RESULT, json.dumps({"format": FORMAT, "finished": True, **report}, indent=1))
    return report


def _recipe_of(comparison: Comparison) -> Recipe:
    return Recipe.for_backbone(
        comparison.backbone,
        weights=comparison.weights,
        image_size=comparison.image_size,
        **comparison.seen.fields_for(comparison.backbone),
    )


def _over_budget(minutes: float, budget: float | None) -> list[str]:
    """Say that more time was taken than asked for."""
    if budget is None or minutes <= budget:
        return []
    return [
        f"{minutes:.1f} minutes instead of the budget of {budget:g}: extraction and one epoch "
        "of every arm are measured in any case"
    ]


def check_output(folder: Path) -> None:
    """Raise if a folder cannot take a benchmark, or files in it that no benchmark wrote have its names.

    Raises
    ------
    HeadstartError
    """
    check_folder(folder, "benchmark")
    check_bundle(folder / HEAD)
    others = [
        name
        for name, kind in _KINDS.items()
        if os.path.lexists(folder / name) and kind_of_output(folder / name) != kind
    ]
    check_names(folder, "benchmark", others)


def _begin(folder: Path) -> None:
    """Mark the folder as one of a benchmark; what an earlier one computed must not save this one work."""
    _write(folder / RESULT, json.dumps({"format": FORMAT, "finished": False}))
    target_of(folder / FEATURES).unlink(missing_ok=True)
    for part in folder.glob(f"{FEATURES}.parts/*.h5"):
        if kind_of_output(part) == "part of a run":
            part.unlink()
    for aside in folder.glob(f".{HEAD}.*"):  # of an arm that was killed
        if os.listdir(aside) == ["run"] and kind_of_output(aside / "run") == "run of fine-tuning":
            shutil.rmtree(aside)


def _write(path: Path, text: str) -> None:
    with written_aside(path) as aside:
        aside.write_text(text + "\n", "utf-8")


def _counted_rows(source: Source, wanted: int | None) -> tuple[dict[str, int], list[str]]:
    """Return the rows of each split, and what is to be said of them."""
    chosen = choose_rows(source, wanted)
    found = {split: len(pairs) for split, pairs in chosen.items()}
    classes = {row.label for row, _ in chosen["train"]}
    if not all(found.values()) or len(classes) < 2:
        raise HeadstartError(
            "the source cannot be benchmarked",
            "labelled training images of two classes or more, validation images and test images",
            ", ".join(f"{counted(number, 'image')} to {split}" for split, number in found.items())
            + f"; classes to train on: {len(classes)}",
            "name a source with more images, with a larger --rows, or with all three splits",
        )
    few = wanted is not None and found["train"] < wanted
    asked = f"{counted(wanted or 0, 'training row')} asked for; the source has {found['train']}"
    return found, [asked] if few else []


def _run_all(job: Job, started: float, budget: float | None, say: Callable[[str], None]) -> dict[str, dict]:
    """Run each arm in a process of its own; what remains of the budget is shared among those to come."""
    results = {}
    with TemporaryDirectory() as files:
        for number, (name, arm) in enumerate(ARMS.items()):
            share = None
            if budget is not None and arm.options:
                left = 60 * budget - (time.perf_counter() - started)
                share = left / (len(ARMS) - number)
            say(f"{arm.label} ...")
            results[name] = _run(replace(job, arm=name, seconds=share), Path(files))
    return results


def _run(job: Job, files: Path) -> dict:
    """Run one arm, and return what its process says."""
    asked, answered = files / f"{job.arm}.job.json", files / f"{job.arm}.json"
    asked.write_text(json.dumps(asdict(job)))
    try:
        with subprocess.Popen(
            command_of("classify.benchmark.arm_process", asked, answered),
            env=environment(),
            stdin=subprocess.PIPE,  # closed when we end, by whatever signal: the arm ends then
            stdout=subprocess.DEVNULL,
            stderr=stderr_handle(),
            process_group=0,  # Ctrl-C in a terminal is for us alone
        ) as child:
            code = child.wait()
    except KeyboardInterrupt:
        raise KeyboardInterrupt("interrupted; the same command begins anew") from None
    if not answered.is_file():
        raise HeadstartError(
            f"{ARMS[job.arm].label} ended without a result",
            "a process that ends by itself",
            f"exit code {code}" + (" (killed: too little memory?)" if code < 0 else ""),
            "take fewer images with --rows, or smaller ones with --image-size",
        )
    result = json.loads(answered.read_text())
    if "error" in result:
        raise HeadstartError(*result["error"])
    return result
