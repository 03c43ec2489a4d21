"""What version 0.1 left on users' disks (`files/0.1`, made by `files/make.py`) is read, used and extended."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import draw_images

from classify import HEADS, Bundle, load_features
from classify.finetuning.finetune import finetune, settings_of
from classify.finetuning.live import train_live, untrained
from classify.finetuning.options import TrainingOptions, live_options
from classify.scores.calibration import probabilities
from data import open_source
from extract import FeatureExtractor, FeatureFile, extract
from extract.feature_file.verify import examine

OLD = Path(__file__).parent / "files" / "0.1"
KEY = "c2dbc10988bd0b3d897bb7f546576bddb29a0f1e653a7dc369a9199a06bcf5ff"
FEW = {"epochs": 3, "batch_size": 16, "learning_rate": 1e-3}


@pytest.fixture
def old(tmp_path, small_recipe) -> Path:
    """A copy of the old folder, to be worked on."""
    assert small_recipe.key == KEY
    return Path(shutil.copytree(OLD, tmp_path / "old"))


@pytest.fixture(scope="module")
def expected() -> dict:
    """Probabilities that version 0.1 gave: by head for each row of `photos.h5`, and of one image."""
    return json.loads((OLD / "expected.json").read_text())


@pytest.mark.parametrize("name", ["photos.h5", "photos.shards"])
def test_a_file_is_read_and_extended(old, small_recipe, name):
    file, whole = FeatureFile(old / name), FeatureFile(OLD / "photos.h5")
    assert examine(old / name).sound and file.recipe == small_recipe
    assert len(file.contents.ids) == 40
    np.testing.assert_array_equal(load_features(old / name).X, whole.features("avg_pool"))
    assert extract(open_source(old / "images"), small_recipe, old / name).computed == 0
    draw_images(old / "images" / "train", each=1, first=90)
    report = extract(open_source(old / "images"), small_recipe, old / name)
    assert (report.rows, report.computed) == (42, 2)
    by_cpu = {"cpu" in dict(engine.others) for engine in FeatureFile(old / name).contents.engines}
    assert by_cpu == {False, True}  # what computed a row names its CPU since


def test_parts_of_an_interrupted_run_are_taken(old, small_recipe):
    report = extract(open_source(old / "images"), small_recipe, old / "begun.h5")
    assert (report.rows, report.computed, report.reused_from["parts"]) == (40, 24, 16)


def test_kept_rows_are_not_computed_again(old, small_recipe, seen):
    paths = sorted((old / "images").rglob("*.png"))[:10]
    found = FeatureExtractor(small_recipe, old / "rows").transform(paths)
    file = load_features(OLD / "photos.h5")
    ids = [path.relative_to(old / "images").as_posix() for path in paths]
    np.testing.assert_allclose(found, file.X[[file.ids.index(name) for name in ids]], atol=1e-5)
    assert seen == []


@pytest.mark.parametrize("name", HEADS)
def test_a_head_judges_as_it_did(old, expected, name):
    bundle, rows = Bundle.load(old / "heads" / name), load_features(OLD / "photos.h5")
    np.testing.assert_allclose(bundle.predict_proba(rows.X), expected[name], atol=1e-5)
    bundle.save(old / "again")
    np.testing.assert_allclose(Bundle.load(old / "again").predict_proba(rows.X), expected[name], atol=1e-5)


@pytest.mark.parametrize("name", ["ridge", "linear-svm"])
def test_the_temperature_of_a_stored_head_has_its_new_name(old, expected, name):
    head = Bundle.load(old / "heads" / name).head
    assert not hasattr(head, "temperature_")
    rows = load_features(OLD / "photos.h5").X
    found = probabilities(head.decision_function(rows), head.inverse_temperature_)
    np.testing.assert_allclose(found, expected[name], atol=1e-6)


def test_a_tuned_bundle_judges_as_it_did(old, expected):
    found = Bundle.load(old / "tuned").predict([old / "images" / "test" / "red" / "030.png"])[0]
    assert list(found.probabilities.values()) == pytest.approx(expected["tuned"], abs=1e-4)


def test_an_interrupted_fine_tuning_goes_on(old):
    bundle, source = Bundle.load(old / "heads" / "logistic"), open_source(old / "images")
    kept = begun(old / "begun.run", bundle)
    report = finetune(bundle, source, old / "begun", TrainingOptions(**FEW))
    assert report["history"][:2] == kept and len(report["history"]) == 3
    assert not (old / "begun.run").exists()


@pytest.mark.parametrize("torn", [1, 2, 3])
def test_a_state_of_fine_tuning_that_was_cut_short_goes_on(old, torn, caplog):
    bundle, source = Bundle.load(old / "heads" / "logistic"), open_source(old / "images")
    kept = begun(old / "begun.run", bundle)
    for name in ("backup/latest.weights.h5", "best.weights.h5", "backup/latest.weights.h5.bkp")[:torn]:
        path = old / "begun.run" / name
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    report = finetune(bundle, source, old / "begun", TrainingOptions(**FEW))
    taken = {1: 2, 2: 1, 3: 0}[torn]
    assert report["history"][:taken] == kept[:taken] and len(report["history"]) == 3
    found, expected = ([epoch["val_loss"] for epoch in epochs[:2]] for epochs in (report["history"], kept))
    np.testing.assert_allclose(found, expected, rtol=0.02)
    assert caplog.text.count("is damaged, and passed over") == torn
    assert not (old / "begun.run").exists()


def test_an_interrupted_live_training_goes_on(old, caplog):
    features, source = load_features(old / "photos.h5"), open_source(old / "images")
    start = Bundle.of(untrained(features, 0), features, "keras-linear", calibrate=False)
    begun(old / "begun-live.run", start)
    caplog.set_level("INFO", "headstart.finetune")
    train_live(features, source, old / "begun-live", live_options(FEW))
    assert [record.message.split(":")[0] for record in caplog.records] == ["epoch 3 of 3"]


def begun(folder: Path, bundle: Bundle) -> list[dict]:
    """Return the epochs that a run finished; its head gets the last digits of this CPU's arithmetic."""
    values = json.loads((folder / "run.json").read_text())
    values["settings"]["head"] = settings_of(bundle, TrainingOptions(), {})["head"]
    (folder / "run.json").write_text(json.dumps(values))
    return values["epochs"]
