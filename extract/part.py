"""Parts: what a run keeps until its feature file is complete."""

import json
from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np

from extract.layout import REASON_BYTES, Features, as_json, created, digest_array, row_checksums, text_array
from extract.recipe import Recipe

PART_FORMAT = "headstart part"


class PartFile(Features):
    """Features of some images by their digest; what a run keeps until it is complete."""

    remedy = "remove {path}: its images are then computed again"

    def __init__(self, path: Path):
        self.path = path
        with h5py.File(path) as file:
            if file.attrs.get("format") != PART_FORMAT:
                raise OSError(f"{path} is not a part")
            self._read(file)
            self.recipe_key = file.attrs["recipe_key"]
            self._engine = json.loads(file.attrs["engine"])
            rejected = zip(file["rejected/digest"][:], file["rejected/reason"][:], strict=True)
            self.rejected = {digest.tobytes(): reason.decode() for digest, reason in rejected}

    def engine(self, row: int) -> dict:
        """Return what computed a row: the same for all rows of a part."""
        return self._engine


def write_part(
    path: Path,
    recipe: Recipe,
    engine: dict,
    probe: Sequence[np.ndarray],
    rows: dict[bytes, Sequence[np.ndarray]],
    rejected: dict[bytes, str],
) -> None:
    """Write one part aside, sync it, and give it its name.

    Parameters
    ----------
    path : Path
    recipe : Recipe
    engine : dict
        What computed the rows.
    probe : sequence of ndarray of shape (D,)
        The feature of the probe image, one array for each layer of the recipe.
    rows : dict of bytes to sequence of ndarray of shape (D,)
        Features by digest, likewise.
    rejected : dict of bytes to str
        Reasons by digest.
    """
    size = sum(array.nbytes for layers in rows.values() for array in layers)
    with created(path, size + 200 * (len(rows) + len(rejected))) as file:
        file.attrs.update(format=PART_FORMAT, recipe_key=recipe.key, engine=as_json(engine))
        file["digests"] = digest_array(list(rows))
        for number, name in enumerate(recipe.layers):
            features = [layers[number] for layers in rows.values()]
            block = np.array(features, recipe.dtype).reshape(-1, len(probe[number]))
            file[f"features/{name}"] = block
            file[f"checksums/{name}"] = row_checksums(block, digest_array(list(rows)))
            file[f"probe/{name}"] = probe[number]
        file["rejected/digest"] = digest_array(list(rejected))
        file["rejected/reason"] = text_array(list(rejected.values()), REASON_BYTES)
