"""Images to features on disk; knows nothing of heads or scores."""

__version__ = "0.1.0"

_HOMES = {
    "FeatureExtractor": "extract.transformer",
    "FeatureFile": "extract.store",
    "Recipe": "extract.recipe",
    "extract": "extract.run",
}
__all__ = ["FeatureExtractor", "FeatureFile", "Recipe", "extract"]


def __getattr__(name: str):
    """Import on use: ``python -m extract`` looks for shadowing modules before it imports `data`."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
