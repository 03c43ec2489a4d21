"""Made `tests/files/0.1` with Headstart 0.1.0: what users of that version have on their disks.

Not to be run again: later versions promise to read what that one wrote. From the repository's root:
PYTHONPATH=.:tests python tests/files/make.py
"""

import json
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np

os.environ["HEADSTART_CACHE"] = tempfile.mkdtemp()

import keras
from classify.finetune import finetune
from classify.live import train_live
from conftest import draw_images, small_net

from classify import HEADS, Bundle, load_features
from data import open_source
from extract import FeatureExtractor, FeatureFile, Options, Recipe, extract, plan
from extract.backbones import BACKBONES, Backbone

HERE = Path(__file__).parent / "0.1"
FEW = {"epochs": 3, "batch_size": 16, "learning_rate": 1e-3}
SMALL = {"mlp": {"hidden": (16,)}, "boosting": {"max_iter": 5}}


def images() -> None:
    for split, first, each in (("train", 0, 12), ("val", 20, 4), ("test", 30, 4)):
        draw_images(HERE / "images" / split, each=each, first=first)


def interrupted(after: int):
    def progress(done: int, total: int) -> None:
        if done >= after:
            raise KeyboardInterrupt

    return progress


def features(recipe: Recipe, source) -> None:
    extract(source, recipe, HERE / "photos.h5")
    plan.PART_ROWS = 8
    extract(source, recipe, HERE / "photos.shards", Options(layout="sharded"))
    try:
        extract(source, recipe, HERE / "begun.h5", Options(batch_size=4), progress=interrupted(20))
    except KeyboardInterrupt:
        print(sorted(path.name for path in (HERE / "begun.h5.parts").iterdir()))
    FeatureExtractor(recipe, HERE / "rows").transform(sorted((HERE / "images").rglob("*.png"))[:10])


def bundles(source) -> None:
    rows = load_features(HERE / "photos.h5")
    expected = {}
    for name, make in HEADS.items():
        head = make(**SMALL.get(name, {})).fit(*rows.training_rows())
        Bundle.of(head, rows, name, calibrate=name == "logistic").save(HERE / "heads" / name)
        expected[name] = Bundle.load(HERE / "heads" / name).predict_proba(rows.X).tolist()
    start = Bundle.load(HERE / "heads" / "logistic")
    finetune(start, source, HERE / "tuned", **FEW)
    image = HERE / "images" / "test" / "red" / "030.png"
    expected["tuned"] = list(Bundle.load(HERE / "tuned").predict([image])[0].probabilities.values())
    for name, train in (("begun", finetune), ("begun-live", train_live)):
        first = start if train is finetune else load_features(HERE / "photos.h5")
        try:
            train(first, source, HERE / name, progress=interrupted(5), **FEW)
        except KeyboardInterrupt as error:
            print(error)
    (HERE / "expected.json").write_text(json.dumps(expected))


def main() -> None:
    keras.applications.SmallNet = small_net
    BACKBONES["smallnet"] = Backbone("SmallNet", 32, 8, "minus_one_to_one")
    recipe = Recipe.for_backbone("smallnet", weights="none")
    shutil.rmtree(HERE, ignore_errors=True)
    (HERE / "heads").mkdir(parents=True)
    images()
    source = open_source(HERE / "images")
    features(recipe, source)
    bundles(source)
    print(recipe.key, np.asarray(FeatureFile(HERE / "photos.h5").features("avg_pool")).mean())


if __name__ == "__main__":
    main()
