"""What a bundle is, read without what predictions need: Keras is imported for none."""

import json
from pathlib import Path
from typing import Any

from classify.bundle.detector import Detector
from classify.bundle.folder import load_head, read_as
from classify.bundle.manifest import DETECTOR
from classify.scores.intervals import SCORES
from data.errors import HeadstartError
from data.output.ours import kind_of_output
from data.text import shell_word
from extract.recipe import Recipe

_PLAIN = (bool, int, float, str, tuple, list, dict, type(None))


def summary(folder: str | Path) -> dict:
    """Return what a bundle is.

    Parameters
    ----------
    folder : str or Path

    Returns
    -------
    dict
        ``bundle``, ``bytes``, ``head``, ``parameters``, ``chosen`` (what the head chose by itself),
        ``class_names``, ``feature_sets`` (a dictionary each), ``rows`` by split, ``rows_by_split`` and
        class, ``scores``, ``temperature``, ``calibration`` (as `classify.scores.temperature.Calibration` has
        it, None where none was fitted), ``detector``, ``conformal`` (the rows by which sets of labels
        are told), ``corrections`` and ``versions``, ready for
        JSON.

    Raises
    ------
    HeadstartError
        If the folder is no bundle, or of another version.

    Examples
    --------
    >>> summary("photos-logistic")["chosen"]["C"]  # doctest: +SKIP
    0.01
    """
    folder = Path(folder)
    kind = kind_of_output(folder)
    if kind in ("feature file", "sharded feature file"):
        raise HeadstartError(
            f"{str(folder)!r} is a {kind}, and no bundle",
            "a folder that `python -m classify train` wrote",
            f"a {kind}",
            f"python -m extract info {shell_word(folder)} says what it holds",
        )
    return read_as(folder, lambda values: _summary(folder, values))


def _summary(folder: Path, values: dict) -> dict:
    parameters = values["head"].get("params")  # of a Keras net they stand there
    scores = values["scores"]
    return {
        "bundle": str(folder),
        "bytes": sum(path.stat().st_size for path in folder.iterdir() if path.is_file()),
        "head": values["name"],
        "parameters": _parameters(load_head(folder, values["head"])) if parameters is None else parameters,
        "chosen": values["provenance"].get("chosen", {}),
        "class_names": values["class_names"],
        "feature_sets": [_feature_set(each) for each in values["feature_sets"]],
        "rows": values["provenance"]["rows"],
        "rows_by_split": {split: _rows(report) for split, report in scores.items()},
        "scores": {split: _numbers(report) for split, report in scores.items()},
        "temperature": values["temperature"],
        "calibration": values["provenance"].get("calibration"),
        "detector": _detector(folder / DETECTOR) if values["detector"] else None,
        "conformal": values.get("conformal"),
        "corrections": values["provenance"].get("corrections"),
        "versions": values["provenance"]["versions"],
    }


def _parameters(head: Any) -> dict[str, object]:
    """Return the plain parameters of a head; of a pipeline those of its last step."""
    own = head.steps[-1][1] if hasattr(head, "steps") else head
    return {name: value for name, value in own.get_params(deep=False).items() if isinstance(value, _PLAIN)}


def _feature_set(values: dict) -> dict:
    recipe = Recipe.from_json(json.dumps(values["recipe"]))
    told = {name: values[name] for name in ("layers", "widths", "weights", "engine", "content_digest")}
    return {"recipe_key": recipe.key, "recipe": json.loads(recipe.to_json()), **told}


def _rows(report: dict) -> dict[str, int]:
    return {each["name"]: each["rows"] for each in report["classes"]}


def _numbers(report: dict) -> dict:
    """Return the scores of a report that are one number each, with their intervals, and its rows."""
    return {name: report[name] for name in ("rows", *SCORES) if name in report}


def _detector(path: Path) -> dict[str, int]:
    found = Detector.load(path)
    return {
        "training_rows": len(found.reference),
        "validation_rows": len(found.scores),
        "neighbours": found.neighbours,
    }
