"""What a backbone sees of images, as options of commands say it."""

from dataclasses import dataclass
from typing import Any

from extract.backbones.applications import resizing_for


@dataclass(frozen=True)
class Seen:
    """What backbones see of images where it is not what they usually do; None is as usual.

    Attributes
    ----------
    resize : str or None
    antialias : bool or None
    crop : float or None
    scaling : str or None
    pooling : str
        As ``extract run`` takes them.
    """

    resize: str | None = None
    antialias: bool | None = None
    crop: float | None = None
    scaling: str | None = None
    pooling: str = "avg"

    def fields_for(self, backbone: str) -> dict[str, Any]:
        """Return what `extract.recipe.Recipe.for_backbone` takes for a backbone."""
        resizing = resizing_for(backbone, self.resize, self.antialias, self.crop)
        return {"resizing": resizing, "scaling": self.scaling, "pooling": self.pooling}

    def options(self) -> list[str]:
        """Return the options of ``extract run`` that say the same.

        Examples
        --------
        >>> Seen(crop=0.9, antialias=True).options()
        ['--antialias', '--crop', '0.9']
        """
        flag = {None: [], True: ["--antialias"], False: ["--no-antialias"]}[self.antialias]
        named = {"--resize": self.resize, "--crop": self.crop, "--scaling": self.scaling}
        named["--pooling"] = None if self.pooling == "avg" else self.pooling
        words = [str(word) for pair in named.items() if pair[1] is not None for word in pair]
        return [*flag, *words]
