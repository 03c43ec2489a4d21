"""The command python -m classify auto: from images to a page, by five commands."""

import hashlib
import json
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from shlex import join
from typing import Annotated

import typer

from classify.commands.options import CorrectionsFile
from data import __version__
from data.child import command_of, environment
from data.console import json_option, say, show, stderr_handle
from data.errors import HeadstartError
from data.interrupt import end_signal
from data.output.ours import AUTO
from data.text import with_type

RECORD = "auto.json"  # in the folder: what is done, and what it printed
_PAGE = "report.html"
_GOES_ON = "the same line goes on: what is done is not done again"


@dataclass(frozen=True)
class Step:
    """One command.

    Attributes
    ----------
    what : str
        That it makes, for people.
    command : str
        Package and name.
    arguments : tuple of str
    reads : tuple of Path
        Files of its own that its result depends on; none where the command itself knows what is done.
    writes : dict of str to Path
        By the option that names the path.
    """

    what: str
    command: str
    arguments: tuple[str, ...]
    reads: tuple[Path, ...]
    writes: Mapping[str, Path]

    @property
    def words(self) -> list[str]:
        """What stands behind ``python -m``."""
        written = [str(word) for pair in self.writes.items() for word in pair]
        return [*self.command.split(), *self.arguments, *written]

    @property
    def line(self) -> str:
        """The command as it is typed."""
        return f"python -m {join(self.words)}"

    def key(self) -> str:
        """Return what the result depends on, wherever the folder lies."""
        return json.dumps([__version__, *map(signature, self.reads)])

    def is_done(self, entry: dict | None) -> bool:
        """Tell whether an entry of the record is of this result, and all of it is there."""
        if entry is None or not self.reads or entry["key"] != self.key():
            return False
        return all(path.exists() for path in self.writes.values())


def steps(source: str, folder: Path, corrections: Path | None, run_options: Sequence[str] = ()) -> list[Step]:
    """Return the five commands in their order.

    Parameters
    ----------
    source : str
        Images, as ``extract run`` takes them.
    folder : Path
        For everything that they write.
    corrections : Path, optional
        Of labels.
    run_options : sequence of str
        Of ``extract run``.

    Examples
    --------
    >>> print(steps("photos", Path("out"), None, ["--image-size", "299"])[0].line)
    python -m extract run photos --image-size 299 -o out/features.h5
    """
    from classify.heads.table import HEADS

    features, head = folder / "features.h5", folder / "head"
    exportable = ",".join(name for name, entry in HEADS.items() if entry.becomes_layers)
    given = () if corrections is None else (corrections,)
    corrected = tuple(word for path in given for word in ("--corrections", str(path)))
    found = {"--csv": folder / "findings.csv", "--corrections-out": folder / "suspects.csv"}
    trained = (str(features), "--heads", exportable, "--unseen-only", *corrected)
    shown = (str(head), str(features), *corrected)
    return [
        Step("features of the images", "extract run", (source, *run_options), (), {"-o": features}),
        Step("many heads, and the best", "classify sweep", trained, (features, *given), {"-o": head}),
        Step("what is wrong", "classify audit", (str(features), *corrected), (features, *given), found),
        Step("the page", "classify report", shown, (head, features, *given), {"-o": folder / _PAGE}),
        Step("the model", "classify export", (str(head),), (head,), {"-o": folder / "model.keras"}),
    ]


def auto(
    source: Annotated[str, typer.Argument(help="Images, as extract run takes them.")],
    run_options: Annotated[
        list[str] | None,
        typer.Argument(metavar="OPTION...", help="Options of extract run, behind a word -- of its own."),
    ] = None,
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="FOLDER", help="For features, head, page and model.")
    ] = Path("auto"),
    corrections: CorrectionsFile = None,
    as_json: Annotated[bool, json_option("what every step printed")] = False,
) -> None:
    """Go from images to a page and a model: run, sweep, audit, report, export.

    Each step is the command whose line is printed. Interrupted or failed, the same line goes on: what is
    done, from the same features, head and corrections, is not done again.

    Example: python -m classify auto photos/ -o photos-auto -- --image-size 299
    """
    from data.output.checks import check_folder

    check_folder(output, "automatic run")
    done, told = _recorded(output), []
    chain = steps(source, output, corrections, run_options or ())
    _record(output, done)  # by which the folder is known as ours
    for number, step in enumerate(chain, 1):
        say(f"step {number} of {len(chain)}: {step.what}")
        _show([f"$ {step.line}"], as_json)
        entry = done.get(step.command)
        if entry is not None and step.is_done(entry):
            say("done before, and printed then:")
            _show(entry["printed"], as_json)
        else:
            entry = done[step.command] = {"key": step.key(), **_run(step, as_json)}
            _record(output, done)
        told.append({"command": step.line, "printed": entry["printed"], "seconds": entry["seconds"]})
    page = str(output / _PAGE)
    show({"steps": told, "page": page}, lambda _: [f"open {page}"], as_json)


def _show(lines: list[str], as_json: bool) -> None:
    """Print what a step prints, unless all of it is to be one document."""
    if not as_json:
        show(lines, list, as_json=False)


def _run(step: Step, as_json: bool) -> dict:
    """Run a step and pass on what it prints; return that, and its seconds.

    Raises
    ------
    typer.Exit
        If it does not end well.
    KeyboardInterrupt
        Once the step has ended in order.
    """
    started, printed = time.monotonic(), []
    with subprocess.Popen(
        command_of(*step.words),
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=stderr_handle(),
        text=True,
        errors="replace",
    ) as child:
        try:
            for line in child.stdout or ():
                printed.append(line.removesuffix("\n"))
                _show(printed[-1:], as_json)
            code = child.wait()
        except KeyboardInterrupt:
            child.send_signal(end_signal())  # a terminal has sent it already: both at once are one
            child.wait()
            raise KeyboardInterrupt(f"interrupted; {_GOES_ON}") from None
    if code:
        killed = " (killed: too little memory?)" if code < 0 else ""
        say(f"this step ended with exit code {code}{killed}: {step.line}")
        options = " (options of extract run go behind --)" if step.command == "extract run" else ""
        say(f"to go on: mend what it says{options}; {_GOES_ON}")
        raise typer.Exit(max(code, 1))
    return {"printed": printed, "seconds": round(time.monotonic() - started, 1)}


def _recorded(folder: Path) -> dict[str, dict]:
    """Return what is done in a folder, by command.

    Raises
    ------
    HeadstartError
        If the record is damaged, or cannot be read.
    """
    path = folder / RECORD
    if not path.is_file():
        return {}
    try:
        return {command: _checked(entry) for command, entry in _stored(path).items()}
    except HeadstartError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise HeadstartError(
            f"the record {str(path)!r} is damaged, or cannot be read",
            "what `python -m classify auto` wrote of the steps that are done",
            with_type(error),
            f"put {json.dumps({'format': AUTO, 'steps': {}})} into it to have every step done again, "
            "or choose another folder with -o",
        ) from error


def _stored(path: Path) -> dict:
    return json.loads(path.read_text("utf-8"))["steps"]


def _checked(entry: dict) -> dict:
    """Return the entry of a step if it is one."""
    key, printed, seconds = (entry[name] for name in ("key", "printed", "seconds"))
    if not isinstance(key, str) or not isinstance(seconds, int | float) or isinstance(printed, str):
        raise TypeError("an entry that is none of a step")
    return {"key": key, "printed": [str.removesuffix(line, "\n") for line in printed], "seconds": seconds}


def _record(folder: Path, done: dict[str, dict]) -> None:
    from data.output.atomic import written_aside
    from data.output.disk import writing

    path = folder / RECORD
    with writing(path, _GOES_ON):
        folder.mkdir(parents=True, exist_ok=True)
        with written_aside(path) as aside:
            aside.write_text(json.dumps({"format": AUTO, "steps": done}, indent=1) + "\n", "utf-8")


def signature(path: Path) -> str:
    """Return what tells whether a feature file, another file or a bundle is the same as before.

    Examples
    --------
    >>> signature(Path("no such file"))
    ''
    """
    from extract.feature_file.reader import FeatureFile

    if not path.exists():
        return ""
    if path.suffix == ".h5":
        return FeatureFile(path).content_digest
    files = sorted(each for each in path.rglob("*") if each.is_file()) if path.is_dir() else [path]
    digest = hashlib.sha256()
    for each in files:
        digest.update(f"{each.relative_to(path).as_posix()}\n".encode())
        digest.update(hashlib.sha256(each.read_bytes()).digest())
    return digest.hexdigest()
