"""Features to decisions."""

_HOMES = {
    "Detector": "classify.bundle.detector",
    "Bundle": "classify.bundle.bundle",
    "HEADS": "classify.heads.table",
    "load_features": "classify.features.load",
}
__all__ = ["HEADS", "Bundle", "Detector", "load_features"]


def __getattr__(name: str) -> object:
    """Import on use: ``python -m classify`` looks for shadowing modules before it imports them."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return [*_HOMES, *(name for name in globals() if name.startswith("__"))]
