"""How every command speaks: results on stdout, progress on stderr, one message for an error."""

import atexit
import codecs
import errno
import faulthandler
import gc
import io
import json
import logging
import os
import re
import sys
import warnings
from collections.abc import Callable, Container, Iterable, Mapping
from functools import cache
from typing import Annotated, Any, NoReturn, TextIO

import typer
from rich.console import Console
from typer.core import TyperGroup
from typer.models import OptionInfo

from data import __version__, document
from data.errors import HeadstartError, UsageError, unimportable
from data.interrupt import interrupt_of, settle
from data.names import shortened
from data.output.cache import cache_folder
from data.output.disk import why
from data.text import one_line, with_type

SCRIPT = "headstart"  # the console script, beside python -m PACKAGE
_COMMAND = re.compile(r"\bpython -m (data|extract|classify)\b")
_OURS = ("data", "extract", "classify")
_by_script = False
err = Console(stderr=True, highlight=False, soft_wrap=True, markup=False, emoji=False)


def json_option(what: str) -> OptionInfo:
    """Return the option ``--json`` of a command that prints something as JSON when asked.

    Examples
    --------
    >>> json_option("the report").help
    'Print the report as JSON.'
    """
    return typer.Option("--json", help=f"Print {what} as JSON.")


class Named(TyperGroup):
    """A command group whose help names commands as the user started this one."""

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        command = super().get_command(ctx, cmd_name)
        if command and command.help:
            command.help = as_started(command.help)
        return command


class Commands(Named):
    """A command group that turns errors of the user into one message and an exit code.

    1 a user's error, 2 usage (Typer's own), 130 interrupted.
    """

    def main(self, *args: Any, **options: Any) -> Any:
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")  # a name that it cannot encode is escaped
        name_commands(options.get("prog_name") == SCRIPT)
        given = args[0] if args else options.get("args")
        document.begin(sys.argv[1:] if given is None else given)
        _collect_seldom()
        try:
            return super().main(*args, **options)
        except HeadstartError as error:
            _fail(error, 2 if isinstance(error, UsageError) else 1)
        except ImportError as error:
            if (error.name or "").partition(".")[0] in _OURS:
                raise
            _fail(unimportable(error))
        except OSError as error:
            if _is_homeless():
                _fail(_homeless(error))
            if error.errno == errno.ENAMETOOLONG and error.filename is not None:
                _fail(_too_long(error))
            if error.errno != errno.ENOSPC:
                raise
            document.silence(sys.stdout)
            _fail(unprinted(error))

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        if not _by_script:  # few find the script by themselves
            formatter.write_paragraph()
            name = f"{SCRIPT} {ctx.info_name.split()[-1]} COMMAND"
            formatter.write_text(f"Also as {name}, which takes no module from the folder that you are in.")

    def invoke(self, ctx: Any) -> Any:  # typer's own Context, which has no public name
        try:
            prepare_logging()
            return super().invoke(ctx)
        except BaseException as error:
            if interrupt := interrupt_of(error):
                settle()
                _end(str(interrupt) or "interrupted", 130)
            document.tell_ending(error)
            raise


def _too_long(error: OSError) -> HeadstartError:
    return HeadstartError(
        "a name is too long for this file system",
        "names of at most 255 bytes, less where Headstart writes another file beside it",
        repr(shortened(os.fsdecode(error.filename), 60)),
        "choose a shorter name",
    )


class Groups(Commands):
    """Groups of commands under one name: the help shows the commands of each, and a shell completes them."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        for name in self.list_commands(ctx):
            group: Any = self.get_command(ctx, name)
            commands = group.commands.items()
            limit = formatter.width - 6 - max(len(word) for word, _ in commands)
            with formatter.section(f"{ctx.info_name} {name}"):
                formatter.write_dl([(word, each.get_short_help_str(limit)) for word, each in commands])

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except HeadstartError:
            raise
        except (OSError, UnicodeDecodeError) as error:
            if isinstance(error, OSError) and error.filename is None:
                raise  # of stdout
            raise HeadstartError(
                "the completion could not be installed",
                "start files of the shell, as ~/.bashrc, that may be read as UTF-8 and written",
                why(error),
                "mend that, or have the shell read what --show-completion prints",
            ) from error


@cache
def _collect_seldom() -> None:
    """Spare a short process most of its garbage collections: imports make objects that stay to its end."""
    gc.set_threshold(50_000, 20, 20)
    atexit.register(gc.freeze)


def command_app(words: str, groups: Mapping[str, typer.Typer] | None = None) -> typer.Typer:
    """Make the Typer application of a package, or of several under one name.

    Parameters
    ----------
    words : str
        What its commands do.
    groups : mapping of str to Typer, optional
        Applications whose commands it takes, each behind its name.
    """
    app = typer.Typer(
        cls=Groups if groups else Commands,
        no_args_is_help=True,
        add_completion=bool(groups),
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
        help=words,
    )

    @app.callback()
    def options(
        version: Annotated[
            bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
        ] = False,
    ) -> None:
        """Take what stands before the command."""

    for name, group in (groups or {}).items():
        app.add_typer(group, name=name, cls=Named)  # errors are told once, by the whole
    return app


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"headstart {__version__}")
        raise typer.Exit


def prepare_logging() -> None:
    """Show our own log on stderr, and nothing of what libraries print there."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if not os.environ.get("MPLCONFIGDIR"):  # where Matplotlib keeps its list of fonts
        os.environ["MPLCONFIGDIR"] = str(cache_folder() / "matplotlib")
    _take_stderr()
    _prepare_warnings()
    for name in ("absl", "tensorflow"):
        logging.getLogger(name).setLevel(logging.ERROR)
    handler = logging.StreamHandler()
    handler.setFormatter(_Words("%(message)s"))
    logging.getLogger("headstart").handlers = [handler]
    logging.getLogger("headstart").setLevel(logging.INFO)


class _Words(logging.Formatter):
    """Name commands as the user started this one."""

    def format(self, record: logging.LogRecord) -> str:
        return as_started(super().format(record))


def name_commands(by_script: bool) -> None:
    """Choose how words for the user name commands: ``headstart extract run`` or ``python -m extract run``."""
    global _by_script
    _by_script = by_script


def as_started(text: str) -> str:
    """Return words for the user with commands named as he started this one.

    Examples
    --------
    >>> name_commands(by_script=True)
    >>> as_started("next: python -m classify train a.h5")
    'next: headstart classify train a.h5'
    >>> name_commands(by_script=False)
    """
    return _COMMAND.sub(rf"{SCRIPT} \1", text) if _by_script else text


def say(text: str) -> None:
    """Print a line for the user that is no result, to stderr."""
    words = as_started(text)
    try:
        err.print(words)
    except OSError:
        document.silence(sys.stderr)  # nobody is left to tell


def say_warnings(warnings: Iterable[str], said: Container[str] = ()) -> None:
    """Print what the user should know, before the work that it is about; not what is said already."""
    for warning in warnings:
        if warning not in said:
            say(f"warning: {warning}")


def show(value: object, lay_out: Callable[..., list[str]], as_json: bool) -> None:
    """Print a result to stdout: one JSON document, or the lines that `lay_out` makes of it.

    Raises
    ------
    HeadstartError
        If stdout cannot take it, as a file on a full disk.
    """
    if as_json:
        text = json.dumps(value, indent=2, ensure_ascii=not is_utf8(sys.stdout))
    else:
        text = as_started("\n".join(lay_out(value)))
    document.begun()
    try:
        print(text, flush=True)
    except BrokenPipeError:
        raise  # who reads it has had enough
    except OSError as error:
        document.silence(sys.stdout)
        raise unprinted(error) from error


def unprinted(error: OSError) -> HeadstartError:
    """Make the error for words that stdout could not take."""
    return HeadstartError(
        "the result could not be printed",
        "a terminal, a pipe, or a file on a disk with room",
        why(error),
        "send it to another place; what the command wrote elsewhere is there",
    )


def _is_homeless() -> bool:
    try:
        os.getcwd()
    except FileNotFoundError:
        return True
    return False


def _homeless(error: OSError) -> HeadstartError:
    return HeadstartError(
        "the working folder of this shell is gone",
        "a folder that exists, from which paths are reckoned",
        with_type(error),
        "cd into another folder, and run again",
    )


def is_utf8(stream: TextIO) -> bool:
    """Tell whether a stream takes every letter as it is."""
    return codecs.lookup(stream.encoding or "ascii").name.startswith("utf")


def stderr_handle() -> int | None:
    """Return the handle that our own words go to, for a child process that speaks as we do."""
    try:
        return sys.stderr.fileno()
    except (AttributeError, OSError, ValueError):
        return None


def _take_stderr() -> None:
    """Keep stderr for our own words: what C libraries print there, as libjpeg does, goes nowhere."""
    if stderr_handle() != 2:
        return
    sys.stderr.flush()
    ours, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    os.close(null)
    how = (1, sys.stderr.encoding, "backslashreplace")
    sys.stderr = open(ours, "w", *how)  # noqa: SIM115  (until the process ends)
    faulthandler.enable(sys.stderr)


def _prepare_warnings() -> None:
    """Silence what libraries say to programmers; that a head has not converged is the user's business."""
    if sys.warnoptions:
        return
    warnings.simplefilter("ignore")
    warnings.filterwarnings("default", "(?i).*converge")
    warnings.showwarning = lambda message, *where: say(f"warning: {one_line(message, None)}")


def _fail(error: HeadstartError, code: int = 1) -> NoReturn:
    say(f"error: {error}")
    parts = {name: as_started(getattr(error, name)) for name in ("happened", "expected", "received", "todo")}
    document.tell_failure(parts, code)
    sys.exit(code)


def _end(text: str, code: int) -> NoReturn:
    say(text)
    document.tell_failure({"happened": as_started(text)}, code)
    sys.exit(code)
