"""Is the best recipe of full extractions among those that a frontier cannot tell from its best?

    python benchmarks/frontier.py WORK photos=PHOTOS trash=TRASH

For each source: `classify frontier` on a sample, then all of its images extracted by the recipes that it
judged on all rows of the sample, by those that it stopped where the source has fewer than 1,000 images, and
by two more; `logistic` cross-validated on all rows of each, test rows too. Feature files are kept in WORK,
and what it holds is not computed again.
"""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from machine import machine

from classify.features.load import joined, load_features
from classify.features.matrix import FeatureMatrix
from classify.frontier.compare import Judged, difference
from classify.frontier.frontier import frontier
from classify.frontier.grid import Pass, name_of
from classify.heads.table import make_head
from classify.scores.cross_validation import cross_validate, together
from data.console import say
from data.sources.source import Source, open_source
from extract.recipe import Recipe
from extract.run.calibrate import quantized
from extract.run.extract import extract
from extract.run.options import Options

FEW = 1000
MORE = (Pass("xception", 96, "int8"), Pass("xception", 150, "float32"))
FOLDS = 5
KEPT = ("name", "rows", "log_loss", "accuracy", "images_per_second", "on_front", "behind")


def main() -> None:
    """Measure and write the JSON."""
    work = Path(sys.argv[1])
    sets = dict(each.split("=", 1) for each in sys.argv[2:])
    result = {"machine": machine(), "sets": {name: one_set(name, path, work) for name, path in sets.items()}}
    target = Path(__file__).parent / "results" / "frontier.json"
    target.write_text(json.dumps(result, indent=1) + "\n")
    say(f"wrote {target}")


def one_set(name: str, path: str, work: Path) -> dict:
    """Return what a frontier says of a source, and what full extractions do."""
    source = open_source(path)
    found = tried_before(work / f"{name}-frontier") or frontier(source, work / f"{name}-frontier", say=say)
    tried = [*found["recipes"], *(found["stopped"] if len(source.rows) < FEW else [])]
    wanted = [tuple(pass_of(one) for one in each["passes"]) for each in tried]
    wanted += [(each,) for each in MORE if (each,) not in wanted]
    files = {each: extracted(source, each, work, name, found) for each in dict.fromkeys(sum(wanted, ()))}
    judged = {names(several): judge([files[each] for each in several]) for several in wanted}
    best = min(judged, key=lambda each: judged[each].log_loss)
    return {
        "frontier": {key: found[key] for key in ("rows", "images", "classes", "best", "named", "alike")},
        "recipes": [kept(each) for each in [*found["recipes"], *found["stopped"]]],
        "full": {each: full(one, judged[best], len(judged) - 1) for each, one in judged.items()},
        "best": best,
    }


def tried_before(folder: Path) -> dict | None:
    """Return what a frontier found that came to its end in this folder."""
    path = folder / "frontier.json"
    found = json.loads(path.read_text()) if path.exists() else {}
    return found if "named" in found else None


def pass_of(one: dict) -> Pass:
    """Return the pass that a frontier's document describes."""
    return Pass(one["backbone"], one["image_size"], one["arithmetic"], tuple(one["layers"]))


def names(several: tuple[Pass, ...]) -> str:
    """Return the name of passes, as a frontier has it."""
    return name_of(several)


def extracted(source: Source, each: Pass, work: Path, name: str, found: dict) -> Path:
    """Extract all images by a pass, but for those of the sample that are known."""
    target = work / f"{name}-{each.stem}.h5"
    tried = [one for row in [*found["recipes"], *found["stopped"]] for one in row["passes"]]
    folder = work / f"{name}-frontier"
    known = {folder / Path(one["file"]).name for one in tried if pass_of(one) == each}
    recipe = Recipe.for_backbone(each.backbone, image_size=each.size, precision=each.precision)
    if each.arithmetic == "int8":
        recipe = quantized(recipe, source)
    report = extract(source, recipe, target, Options(reuse=tuple(known)))
    say(f"{target.name}: {report.computed} computed, {report.reused} reused, {report.seconds:.0f} s")
    return target


def judge(files: list[Path]) -> Judged:
    """Cross-validate on all labelled rows, whatever their split."""
    features = joined([load_features(file) for file in files], "inner")
    features = whole(features)
    found = cross_validate(make_head("logistic"), features, FOLDS)
    return Judged(found, together(features, found.rows))


def whole(features: FeatureMatrix) -> FeatureMatrix:
    """Return features of which all rows are training rows."""
    return replace(features, X=np.asarray(features.X), splits=np.zeros(len(features.y), np.int8))


def full(one: Judged, best: Judged, comparisons: int) -> dict:
    """Return scores, and the comparison with the best."""
    report = one.found.report()
    gap = None if one is best else difference(one, best, comparisons).to_dict()
    return {"rows": one.rows, **{key: report[key] for key in ("log_loss", "accuracy")}, "against_best": gap}


def kept(each: dict) -> dict:
    """Return what is kept of a recipe in a frontier's document: no path of a machine."""
    return {key: each.get(key) for key in KEPT}


if __name__ == "__main__":
    main()
