"""What our cache says of weights: where they came from, under which licence."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from data.output.cache import cache_folder, in_cache
from extract.backbones.applications import BACKBONES
from extract.backbones.kinds import Own, is_own


@dataclass(frozen=True)
class Weights:
    """Verified weights in our cache.

    Attributes
    ----------
    digest : str
        Of the tensors alone (`tensors_digest`); it enters the recipe.
    backbone : str
    name : str
        What the user asked for: ``imagenet``, ``none`` or a file name.
    origin : str
        Where they came from, with the hash that was verified there.
    """

    digest: str
    backbone: str
    name: str
    origin: str

    def told(self) -> dict[str, str]:
        """Return name, origin, licence and a user's model file as feature files keep them."""
        model = {"model": Own.read(self.backbone).file} if is_own(self.backbone) else {}
        return {"name": self.name, "origin": self.origin, "licence": self.licence, **model}

    @property
    def licence(self) -> str:
        """Of the weights: of published ones as `BACKBONES` has it."""
        if self.name == "none":
            return "none is needed for random weights"
        if self.name == "imagenet":
            return BACKBONES[self.backbone].licence or "not named by those who published them"
        return "that of the file they came from"


@in_cache()
def known_weights(digest: str) -> Weights | None:
    """Return what our cache knows of the weights with this digest.

    Examples
    --------
    >>> known_weights("00") is None
    True
    """
    return recorded(weights_folder() / f"{digest}.json")


@in_cache()
def found_before(backbone: str, name: str) -> Weights | None:
    """Return weights of a backbone that were found by a name before."""
    return next((each for each in records_of(backbone) if each.name == name), None)


@in_cache()
def records_of(backbone: str) -> list[Weights]:
    """Return all weights of a backbone that our cache knows."""
    found = map(recorded, sorted(weights_folder().glob("*.json")))
    return [each for each in found if each and each.backbone == backbone]


def weights_folder() -> Path:
    """Return where our cache keeps weights."""
    return cache_folder() / "weights"


def recorded(record: Path) -> Weights | None:
    """Return what a record says; one that is empty, damaged or another's is as none."""
    if not record.is_file():
        return None
    try:
        weights = Weights(**json.loads(record.read_bytes()))
    except (ValueError, TypeError):
        return None
    whole = all(isinstance(value, str) for value in asdict(weights).values())
    return weights if whole and weights.digest == record.stem else None
