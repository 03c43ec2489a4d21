"""The command python -m classify sweep."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from classify.commands.options import (
    AsJson,
    CorrectionsFile,
    Files,
    Join,
    Layers,
    UnseenOnly,
    checked_labels,
    corrected,
    corrections_lines,
    default_folder,
    grouped,
    names_between_commas,
)
from classify.scores.intervals import score_text
from classify.scores.temperature import calibration_text
from data.console import say_warnings, show
from data.text import counted
from extract.commands.options import GroupsFile

if TYPE_CHECKING:  # HDF5, which the help of commands does not need
    from classify.features.matrix import FeatureMatrix
    from classify.selection.sweep import Find


def sweep(
    files: Files,
    heads: Annotated[str | None, typer.Option(help="Names between commas; default: all.")] = None,
    search: Annotated[
        str | None, typer.Option(help="optuna: let it propose configurations; default: small grids.")
    ] = None,
    trials: Annotated[
        int | None, typer.Option(help="Configurations that --search tries; default: 50.")
    ] = None,
    seeds: Annotated[int, typer.Option(help="Trainings of each head that depends on a seed.")] = 1,
    one_standard_error: Annotated[
        bool, typer.Option("--one-standard-error", help="Take the simplest head that is good enough.")
    ] = False,
    choose_by: Annotated[str, typer.Option(help="log_loss | accuracy | balanced_accuracy.")] = "log_loss",
    cv: Annotated[
        int | None,
        typer.Option(
            metavar="FOLDS",
            help="Judge by so many folds of training and validation rows; 0: by the validation rows. "
            "Default: 5 where there are fewer than 30 validation rows a class, else 0.",
        ),
    ] = None,
    budget: Annotated[
        float | None,
        typer.Option(
            metavar="MINUTES", help="Train what fits in so long; the choice depends on the machine."
        ),
    ] = None,
    exhaustive: Annotated[
        bool, typer.Option("--exhaustive", help="Train every configuration on all rows, however long.")
    ] = False,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Bundle; default: FILE-best.")] = None,
    leaderboard: Annotated[Path | None, typer.Option(help="CSV file for the whole leaderboard.")] = None,
    layer: Layers = None,
    join: Join = "strict",
    corrections: CorrectionsFile = None,
    groups: GroupsFile = None,
    unseen_only: UnseenOnly = False,
    jobs: Annotated[int, typer.Option(help="Processes; -1: one for each core.")] = -1,
    as_json: AsJson = False,
) -> None:
    """Train many heads, choose by rows they did not see, and judge the winner alone on the test rows.

    Cheap heads learn all rows; where dear ones would take long, they learn a part first, and the best of
    them all. What is left out is named. Interrupted, the same command goes on from what is finished.

    Example: python -m classify sweep photos.h5 --heads ridge,logistic,keras-linear
    """
    from classify.bundle.folder import check_output
    from classify.features.load import load_features
    from classify.scores.judging import advice, judging_rows
    from classify.selection.leaderboard import write_leaderboard
    from classify.selection.options import SweepOptions
    from classify.selection.sweep import journal_of, sweep_and_save
    from data.output.checks import check_file, check_parent
    from data.progress import progress_bar

    tried = 50 if trials is None else trials
    options = SweepOptions(seeds, jobs, tried, choose_by, one_standard_error, cv, budget, exhaustive)
    if trials is not None and not search:
        raise typer.BadParameter("--trials goes with --search optuna")
    if search and (budget is not None or exhaustive):
        raise typer.BadParameter("--trials says how long a search goes on; leave the other option out")
    if search and one_standard_error:
        raise typer.BadParameter("proposals have no order of simplicity; leave --one-standard-error out")
    folder = output or default_folder(files, "best")
    check_output(folder)
    journal_of(folder)
    if leaderboard:
        _check_apart(leaderboard, folder)
        check_file(leaderboard, "leaderboard", "--leaderboard")
        check_parent(leaderboard, "--leaderboard")
    find, chosen = _search_of(search, heads) if search else _grids_of(heads)
    loaded = grouped(corrected(load_features(files, layer, join), corrections), groups)
    warnings = checked_labels(loaded)
    features = _unseen(loaded) if unseen_only else loaded
    with progress_bar("training heads", "head") as progress:
        outcome = sweep_and_save(features, chosen, folder, options, find=find, progress=progress)
    if leaderboard:
        write_leaderboard(leaderboard, outcome.results)
    say_warnings(outcome.warnings)
    told = advice(judging_rows(loaded), str(folder), files, join, corrections, groups)
    values = {**outcome.to_dict(), "warnings": [*warnings, *outcome.warnings]}
    if features.corrections is not None:
        values["corrections"] = features.corrections.to_dict()
    show(values, partial(sweep_lines, told), as_json)


def _unseen(features: "FeatureMatrix") -> "FeatureMatrix":
    """Return features without labels of the test images that training rows show too; say how many."""
    clean = features.without("test", features.training_images())
    if count := len(features.rows("test")) - len(clean.rows("test")):
        say_warnings([f"{counted(count, 'test image')} left out, as training rows have the same bytes"])
    return clean


def _check_apart(leaderboard: Path, folder: Path) -> None:
    """Raise if the leaderboard would take the place of what is written with it."""
    from classify.selection.sweep import journal_of

    if leaderboard.absolute() in (folder.absolute(), journal_of(folder).absolute()):
        raise typer.BadParameter("--leaderboard and -o name one path; choose another for one of them")


def _grids_of(heads: str | None) -> tuple["Find", Sequence[object]]:
    """Return what goes through the grids, and their entries."""
    from classify.selection.sweep import sweep
    from classify.selection.trials import entries

    return sweep, entries(names_between_commas(heads))


def _search_of(search: str, heads: str | None) -> tuple["Find", Sequence[object]]:
    """Return what tries proposals, and the heads to propose."""
    from classify.selection import search as searching

    if search != "optuna":
        raise typer.BadParameter(f"--search is optuna or left out; received {search}")
    return searching.search, searching.checked_heads(names_between_commas(heads))


def sweep_lines(advice: list[str], outcome: dict) -> list[str]:
    """Lay out an `Outcome` for people: the best twenty, the winner, its test score, advice."""
    compared = [row for row in outcome["leaderboard"] if not row["stopped"]]
    balanced = outcome["choose_by"] == "balanced_accuracy"
    header = f"{'balanced':>9}  " if balanced else ""
    lines = [f"{'rank':>4}  {'head':<13}{'accuracy':<27}{header}{'log loss':>8}{'seconds':>9}  parameters"]
    for rank, row in enumerate(compared[:20], 1):
        score = score_text({**row["accuracy"], "value": row["mean"]})
        deviation = f" ±{row['deviation']:.4f}" if len(row["accuracies"]) > 1 else ""
        params = " ".join(f"{name}={value}" for name, value in row["params"].items())
        mean = f"{row['balanced_accuracy']:>9.4f}  " if balanced else ""
        lines.append(
            f"{rank:>4}  {row['head']:<13}{score + deviation:<27}{mean}{row['log_loss']:>8.4f}"
            f"{row['seconds']:>9.2f}  {params}".rstrip()
        )
    lines += outcome["notes"]
    lines.append(f"judged by {outcome['judged_by']}; {_alike_text(outcome)}")
    winner = outcome["winner"]
    params = "".join(f" --param {name}={value}" for name, value in winner["params"].items())
    lines.append(f"winner: {winner['head']}{params}, of {len(compared)}, in {outcome['seconds']:.1f} s")
    if outcome["calibration"]:
        lines.append(f"temperature {calibration_text(outcome['calibration'])}")
    if outcome["test"]:
        score = score_text(outcome["test"]["accuracy"])
        lines.append(f"test, read once: {score} accuracy on {counted(outcome['test']['rows'], 'row')}")
    return [*lines, *corrections_lines(outcome), f"saved {outcome['bundle']}", *advice]


def _alike_text(outcome: dict) -> str:
    """Say how far the rows tell heads apart."""
    words = outcome["choose_by"].replace("_", " ")
    alike = (
        f"{counted(outcome['alike'], 'head')}, the first among them," if outcome["alike"] > 1 else "the first"
    )
    stands = "are" if outcome["alike"] > 1 else "alone is"
    return f"{alike} {stands} within a standard error of {words}, {outcome['standard_error']:.4f}"
