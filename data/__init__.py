"""Where images and labels come from; knows nothing of models, HDF5 or keys."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from data.errors import HeadstartError
    from data.sources.source import Row, Source, open_source
    from data.stores.stamp import Stamp

__version__ = "0.1.0"
_HOMES = {
    "HeadstartError": "data.errors",
    "Row": "data.sources.source",
    "Source": "data.sources.source",
    "Stamp": "data.stores.stamp",
    "open_source": "data.sources.source",
}
__all__ = ["HeadstartError", "Row", "Source", "Stamp", "open_source"]


def __getattr__(name: str) -> object:
    """Import on use: a command listens for Ctrl-C before it imports anything large."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return [*__all__, *(name for name in globals() if name.startswith("__"))]
