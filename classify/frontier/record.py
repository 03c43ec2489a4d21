"""The folder of a frontier: its record, by which it is known as ours, and what was measured before."""

import base64
import json
from collections.abc import Mapping
from pathlib import Path

from classify.frontier.extraction import Speed
from data.errors import HeadstartError
from data.machine import this_machine
from data.output.atomic import written_aside
from data.output.checks import check_file, check_folder
from data.output.disk import writing
from data.output.ours import FRONTIER
from data.text import with_type

RECORD, FIGURE = "frontier.json", "frontier.png"
_TODO = "or choose another folder with -o"
_TIMED_BY = ("processor", "instruction_sets", "cores", "versions")  # of a machine: what decides a speed


def begin(folder: Path) -> dict:
    """Make the folder where there is none, and return the record of what was done in it, if any.

    Raises
    ------
    HeadstartError
        If the folder holds something else, or cannot be written, or the record is damaged.
    """
    check_folder(folder, "frontier")
    check_file(folder / FIGURE, "figure")
    path = folder / RECORD
    if not path.is_file():
        write(folder, {})
        return {}
    try:
        return dict(json.loads(path.read_text("utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise HeadstartError(
            f"the record {str(path)!r} is damaged, or cannot be read",
            "what `python -m classify frontier` wrote",
            with_type(error),
            "remove it to have every speed measured again; features that are kept stay",
        ) from error


def read_frontier(folder: Path) -> dict:
    """Return what a frontier found, with its figure as base64 of a PNG under ``picture``.

    Raises
    ------
    HeadstartError
        If the folder holds none that is finished.
    """
    path = folder / RECORD
    try:
        found = json.loads(path.read_text("utf-8"))
        picture = base64.b64encode((folder / FIGURE).read_bytes()).decode()
        if found["format"] == FRONTIER and found["named"]:
            return {**found, "picture": picture}
        ours = found["format"] == FRONTIER
        received = "one where no recipe was within the limits" if ours else "another file of that name"
    except (OSError, ValueError, KeyError, TypeError) as error:
        received = with_type(error)
    raise HeadstartError(
        f"{str(folder)!r} holds no finished frontier",
        f"a folder that `python -m classify frontier` wrote, with {RECORD} and {FIGURE}",
        received,
        "name that folder, or leave --frontier out",
    )


def write(folder: Path, document: Mapping[str, object]) -> None:
    """Write the record.

    Raises
    ------
    HeadstartError
        If it cannot be written.
    """
    with writing(folder, _TODO):
        folder.mkdir(parents=True, exist_ok=True)
        with written_aside(folder / RECORD) as aside:
            text = json.dumps({"format": FRONTIER, **document}, indent=1)
            aside.write_text(text + "\n", "utf-8")


def speeds_of(record: Mapping[str, object], threads: int | None) -> dict[str, Speed]:
    """Return the speeds that a record holds, by the key of a recipe; none of another machine.

    Examples
    --------
    >>> speeds_of({}, None)
    {}
    """
    known = record.get("speeds")
    if not isinstance(known, dict) or record.get("measured_on") != measured_on(threads):
        return {}
    return {key: Speed(images, seconds) for key, (images, seconds) in known.items()}


def measured_on(threads: int | None) -> dict:
    """Return what a speed depends on: the machine, versions, and the threads that were asked for."""
    machine = this_machine().to_dict()
    return {**{name: machine[name] for name in _TIMED_BY}, "threads": threads}
