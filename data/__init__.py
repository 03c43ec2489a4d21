"""Where images and labels come from; knows nothing of models, HDF5 or keys."""

from data.errors import HeadstartError
from data.source import Row, Source, open_source

__all__ = ["HeadstartError", "Row", "Source", "open_source"]
