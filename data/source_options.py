"""The options of sources on the command line: a command that is decorated takes all of them."""

import inspect
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer

from data.sources.options import SOURCE_OPTIONS, SourceOption, SourceOptions, option_of

NONE: SourceOptions = {}
_DEFAULT = {bool: False, Path: None, str: None}


def takes_source_options(command: Callable[..., None]) -> Callable[..., None]:
    """Let a command take every option of `SOURCE_OPTIONS`.

    Parameters
    ----------
    command : callable
        With a parameter ``how``, which gets the options that were given; on the command line they stand
        in its place.
    """
    signature = inspect.signature(command, eval_str=True)
    parameters: list[inspect.Parameter] = []
    for name, parameter in signature.parameters.items():
        parameters += map(_parameter, SOURCE_OPTIONS) if name == "how" else [parameter]

    @wraps(command)
    def taken(**arguments: Any) -> None:
        values = {name: arguments.pop(name, None) for name in SOURCE_OPTIONS}
        command(**arguments, how={name: value for name, value in values.items() if value or value == ""})

    taken.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    taken.__annotations__ = {each.name: each.annotation for each in parameters}
    return taken


def _parameter(name: str) -> inspect.Parameter:
    option: SourceOption = SOURCE_OPTIONS[name]
    shown = typer.Option(option_of(name), help=option.help, metavar=option.metavar)
    kind: Any = list[option.kind] if option.several else option.kind  # type: ignore[name-defined]
    kind = kind if option.kind is bool else kind | None
    return inspect.Parameter(
        name,
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
        default=_DEFAULT[option.kind],
        annotation=Annotated[kind, shown],
    )
