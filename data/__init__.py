"""Where images and labels come from; knows nothing of models, HDF5 or keys."""

from data.errors import HeadstartError
from data.sources.source import Row, Source, open_source
from data.stores.stamp import Stamp

__version__ = "0.1.0"
__all__ = ["HeadstartError", "Row", "Source", "Stamp", "open_source"]


def __dir__() -> list[str]:
    return [*__all__, *(name for name in globals() if name.startswith("__"))]
