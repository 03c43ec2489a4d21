"""Images to features on disk; knows nothing of heads or scores."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from extract.feature_file.reader import FeatureFile
    from extract.recipe import Recipe
    from extract.run.extract import extract
    from extract.run.options import Options
    from extract.transformer import FeatureExtractor

_HOMES = {
    "FeatureExtractor": "extract.transformer",
    "FeatureFile": "extract.feature_file.reader",
    "Options": "extract.run.extract",
    "Recipe": "extract.recipe",
    "__version__": "data",
    "extract": "extract.run.extract",
}
__all__ = ["FeatureExtractor", "FeatureFile", "Options", "Recipe", "extract"]


def __getattr__(name: str) -> object:
    """Import on use: ``python -m extract`` looks for shadowing modules before it imports `data`."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return [*_HOMES, *(name for name in globals() if name.startswith("__"))]
