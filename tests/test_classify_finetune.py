"""Fine-tuning a small backbone: guards, both loops, killed runs, bad input, and the bundle that comes out."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import tensorflow as tf
from conftest import assert_four_parts, draw_images, trained
from PIL import Image
from typer.testing import CliRunner

from classify import HEADS, Bundle, load_features
from classify.bundle.detector import Detector
from classify.cli import app
from classify.finetuning.finetune import finetune
from classify.finetuning.images import choose_rows, load_rows, splits_of
from classify.finetuning.judge import verdict
from classify.finetuning.live import train_live, untrained
from classify.finetuning.loops import LOOPS, Batches, reseed
from classify.finetuning.model import GuideModel, blocks, check_frozen, counts, frozen_digest, unfreeze
from classify.finetuning.options import LOOPS as NAMES_OF_LOOPS
from classify.finetuning.options import PRECISIONS, TrainingOptions, live_options
from data import HeadstartError, open_source
from data.splits import SPLIT_NAMES
from extract import Options, Recipe, extract
from extract.engines.keras_engine import POLICIES

FEW = {"epochs": 2, "batch_size": 16, "rows": 40, "learning_rate": 1e-3}


@pytest.fixture(scope="module")
def drawn(small_file):
    """The images of `small_file`."""
    return open_source(small_file.with_name("images"))


@pytest.fixture(scope="module")
def tuned(small_bundle, drawn, tmp_path_factory):
    """The report of an unbroken run, and its bundle."""
    folder = tmp_path_factory.mktemp("tuned") / "tuned"
    return finetune(Bundle.load(small_bundle), drawn, folder, TrainingOptions(**FEW)), folder


def recipe_of(bundle) -> Recipe:
    (own,) = bundle.feature_sets
    return own.recipe


def losses(report) -> list[float]:
    return [epoch[name] for epoch in report["history"] for name in ("loss", "val_loss")]


def test_the_bundle_serves_evaluate_and_predict(tuned, small_bundle, drawn, tmp_path):
    report, folder = tuned
    bundle, before = Bundle.load(folder), Bundle.load(small_bundle)
    assert [name for name, *_ in recipe_of(bundle).differences(recipe_of(before))] == ["weights"]
    assert report["best_epoch"] > 0 and report["rows"] == {"train": 40, "validation": 14, "test": 9}
    recipe = Recipe.for_backbone("smallnet", weights=folder / "backbone.weights.h5")
    assert recipe == recipe_of(bundle)
    extract(drawn, recipe, tmp_path / "tuned.h5")
    scores = bundle.evaluate(load_features(tmp_path / "tuned.h5"))
    assert scores["log_loss"]["value"] == pytest.approx(report["after"]["log_loss"]["value"], abs=1e-4)
    assert bundle.predict([Path(drawn.root) / "red" / "000.png"])[0].label in ("blue", "red")
    assert not folder.with_name("tuned.run").exists()


def test_a_tuned_bundle_tells_what_is_unknown(tuned, drawn, tmp_path):
    """As a head does that is trained on a file of the tuned backbone's features."""
    bundle = Bundle.load(tuned[1])
    recipe = Recipe.for_backbone("smallnet", weights=tuned[1] / "backbone.weights.h5")
    extract(drawn, recipe, tmp_path / "tuned.h5")
    features, chosen = load_features(tmp_path / "tuned.h5"), set(load_rows(drawn, recipe, 40)["train"].ids)
    rows = [row for row in features.rows("train") if features.ids[row] in chosen]
    expected = Detector.fit(features.X[rows], features.X[features.rows("validation")])
    assert bundle.detector.reference.shape == (40, 64)
    np.testing.assert_allclose(bundle.detector.scores, expected.scores, atol=1e-4)
    Image.fromarray(np.random.default_rng(0).integers(0, 2, (32, 32, 3), np.uint8) * 255).save(
        tmp_path / "strange.png"
    )
    found = bundle.predict([Path(drawn.root) / "red" / "000.png", tmp_path / "strange.png"], abstain=0.1)
    assert [prediction.unknown for prediction in found] == [False, True]
    assert len(bundle.conformal.scores) == len(features.rows("validation"))


@pytest.mark.parametrize(("digest", "command"), [("", "finetune BUNDLE SOURCE"), ("ab", "train FILE.h5")])
def test_a_bundle_without_a_detector_says_what_makes_one(tuned, drawn, digest, command):
    bundle = Bundle.load(tuned[1])
    sets = tuple(replace(each, content_digest=digest) for each in bundle.feature_sets)
    with pytest.raises(HeadstartError, match=f"python -m classify {command}") as error:
        replace(bundle, detector=None, feature_sets=sets).predict([drawn.root], abstain=0.1)
    assert_four_parts(str(error.value))


def test_the_bundle_moves_as_one(tuned, tmp_path, monkeypatch, drawn):
    expected = Bundle.load(tuned[1]).predict([Path(drawn.root) / "red" / "001.png"])[0].probability
    shutil.copytree(tuned[1], tmp_path / "moved")
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "another cache"))
    Bundle.load(tmp_path / "moved").save(tmp_path / "again")
    assert not (tmp_path / "another cache").exists()  # reading and writing bundles is no use of a backbone
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "a third one"))
    found = Bundle.load(tmp_path / "again").predict([Path(drawn.root) / "red" / "001.png"])[0].probability
    assert found == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("damage", ["cut short", "of another net"])
def test_a_damaged_backbone_in_a_bundle_is_named(tuned, tmp_path, monkeypatch, drawn, damage):
    folder = Path(shutil.copytree(tuned[1], tmp_path / "damaged"))
    path = folder / "backbone.weights.h5"
    if damage == "cut short":
        path.write_bytes(path.read_bytes()[:20_000])
    else:
        with h5py.File(path, "r+") as file:
            name = next(name for name in walk(file) if name.endswith("vars/0"))
            file[name][...] = 0
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "another cache"))
    with pytest.raises(HeadstartError, match=r"the backbone of the bundle .* is damaged") as caught:
        Bundle.load(folder).predict([Path(drawn.root) / "red" / "001.png"])
    assert_four_parts(str(caught.value))
    assert "--backbone" not in str(caught.value)


def walk(file) -> list[str]:
    """Return the names of everything in an HDF5 file."""
    names = []
    file.visit(names.append)
    return names


def test_both_loops_give_the_same_losses(tuned, small_bundle, drawn, tmp_path):
    report = finetune(
        Bundle.load(small_bundle), drawn, tmp_path / "custom", TrainingOptions(loop="custom", **FEW)
    )
    np.testing.assert_allclose(losses(report), losses(tuned[0]), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("loop", ["fit", pytest.param("custom", marks=pytest.mark.slow)])
def test_a_killed_run_goes_on(tuned, small_bundle, drawn, tmp_path, patch_ours, loop):
    kills = [KeyboardInterrupt]

    def reseed_or_stop(model, seed, epoch):
        if epoch == 1 and kills:
            raise kills.pop()
        reseed(model, seed, epoch)

    patch_ours("classify.finetuning.loops.reseed", reseed_or_stop)
    with pytest.raises(KeyboardInterrupt, match=r"1 finished epoch kept in .*the same command goes on"):
        finetune(Bundle.load(small_bundle), drawn, tmp_path / "tuned", TrainingOptions(loop=loop, **FEW))
    with pytest.raises(HeadstartError, match=r"learning_rate=0\.5"):
        other = TrainingOptions(loop=loop, **FEW | {"learning_rate": 0.5})
        finetune(Bundle.load(small_bundle), drawn, tmp_path / "tuned", other)
    report = finetune(Bundle.load(small_bundle), drawn, tmp_path / "tuned", TrainingOptions(loop=loop, **FEW))
    np.testing.assert_allclose(losses(report), losses(tuned[0]), atol=1e-4, rtol=1e-4)


def test_a_loss_that_diverges_keeps_the_last_good_weights(small_bundle, drawn, tmp_path, patch_ours):
    before = Bundle.load(small_bundle)
    far = tf.keras.optimizers.Adam(1e38)  # no rate that is allowed takes so small a net beyond float32
    patch_ours("classify.finetuning.training.optimizer_of", lambda rate, precision: far)
    report = finetune(before, drawn, tmp_path / "tuned", TrainingOptions(unfreeze="none", **FEW))
    assert (report["stopped"], report["best_epoch"]) == ("diverged", 0)
    assert "choose a lower --learning-rate" in report["verdict"]
    assert recipe_of(Bundle.load(tmp_path / "tuned")) == recipe_of(before)
    assert report["after"]["log_loss"]["value"] == pytest.approx(
        report["before"]["log_loss"]["value"], abs=1e-4
    )


def test_memory_that_runs_out_halves_the_batch(small_bundle, drawn, tmp_path, monkeypatch):
    from classify.finetuning.loops import fit_loop

    sizes = []

    def small_device(model, training, *rest):
        sizes.append(-(-40 // training.steps))
        if len(sizes) == 1:
            raise tf.errors.ResourceExhaustedError(None, None, "out of memory")
        fit_loop(model, training, *rest)

    monkeypatch.setitem(LOOPS, "fit", small_device)
    options = TrainingOptions(**FEW | {"epochs": 1, "batch_size": 20, "unfreeze": "none"})
    report = finetune(Bundle.load(small_bundle), drawn, tmp_path / "tuned", options)
    assert (sizes, report["batch_size"]) == ([20, 10], 10)


def test_the_guides_numbers_of_parameters(small_bundle):
    """https://keras.io/guides/transfer_learning at 150x150, one logit, frozen and unfrozen."""
    recipe = Recipe.for_backbone("xception", weights="none")
    head = HEADS["keras-linear"](epochs=1).fit(np.eye(8, 2048), np.arange(8) % 2)
    bundle = Bundle.load(small_bundle)
    bundle = replace(bundle, head=head, feature_sets=(replace(bundle.feature_sets[0], recipe=recipe),))
    guide = GuideModel(bundle, augment=True, seed=0)
    seen = {}
    for what in ("none", "all", "last", "block14"):
        unfreeze(guide.base, what)
        seen[what] = counts(guide.model)
    assert (seen["none"].total, seen["none"].trainable) == (20_863_529, 2_049)
    assert (seen["all"].trainable, seen["all"].non_trainable) == (20_809_001, 54_528)
    assert seen["last"] == seen["block14"]
    assert 2_049 < seen["block14"].trainable < 6_000_000
    statistics = [weight.numpy() for weight in guide.base.non_trainable_weights if "moving" in weight.path]
    guide.model(np.full((2, 150, 150, 3), 9, np.float32), training=True)
    after = [weight.numpy() for weight in guide.base.non_trainable_weights if "moving" in weight.path]
    assert len(after) == 80 and all(map(np.array_equal, statistics, after))
    names = {weight.path.split("/")[0].split("_")[0] for weight in guide.base.trainable_weights}
    assert names == {"block14"}
    assert list(blocks(guide.base)) == [f"block{number}" for number in range(1, 15)]


def test_frozen_weights_that_change_are_noticed(small_bundle):
    guide = GuideModel(Bundle.load(small_bundle), augment=False, seed=0)
    unfreeze(guide.base, "all")
    before = frozen_digest(guide.base)
    guide.model(np.full((2, 32, 32, 3), 9, np.float32), training=True)
    check_frozen(guide.base, before)
    moved = next(weight for weight in guide.base.non_trainable_weights if "moving_mean" in weight.path)
    moved.assign_add(np.full(moved.shape, 1e-3))
    with pytest.raises(HeadstartError, match="frozen have changed"):
        check_frozen(guide.base, before)


def test_transplanted_logits_are_those_of_the_head(small_bundle, drawn):
    bundle = Bundle.load(small_bundle)
    rows = load_rows(drawn, recipe_of(bundle), 10)["train"]
    guide = GuideModel(bundle, augment=True, seed=0)
    ours = 1 / (1 + np.exp(-guide.model.predict(rows.pixels, verbose=0)[:, 0]))
    files = [Path(drawn.root) / name for name in rows.ids]
    theirs = [prediction.probabilities["red"] for prediction in bundle.predict(files)]
    np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_rows_are_split_as_a_feature_file_splits_them(small_file, small_recipe, drawn):
    features, rows = load_features(small_file), load_rows(drawn, small_recipe)
    for split, found in rows.items():
        assert set(found.ids) == {features.ids[row] for row in features.rows(split)}
    few, more = (load_rows(drawn, small_recipe, number) for number in (10, 30))
    assert len(few["train"].ids) == 10 and set(few["train"].ids) < set(more["train"].ids)
    assert few["test"].ids == rows["test"].ids


def test_what_finetune_refuses(small_bundle, small_file, drawn, tmp_path):
    bundle, features = Bundle.load(small_bundle), load_features(small_file)
    knn = Bundle.of(HEADS["knn"]().fit(*features.training_rows()), features, "knn")
    others = open_source(draw_images(tmp_path / "others", ("cat", "dog"), each=3))
    (tmp_path / "old.run").mkdir()
    (tmp_path / "old.run" / "notes.txt").write_text("mine")
    refused = [
        (bundle, drawn, "new", {"unfreeze": "block99"}, "block3"),
        (bundle, drawn, "new", {"loop": "magic"}, "custom"),
        (bundle, drawn, "new", {"precision": "float8"}, "bfloat16"),
        (bundle, others, "new", {}, "other classes"),
        (knn, drawn, "new", {}, "keras-linear"),
        (bundle, drawn, "old", {}, "other files"),
        (bundle, drawn, "old.run", {}, "cannot take a bundle"),
    ]
    for given, source, name, options, said in refused:
        with pytest.raises(HeadstartError, match=said) as error:
            finetune(given, source, tmp_path / name, TrainingOptions(**FEW | options))
        assert_four_parts(str(error.value))


def test_the_command_prints_counts_scores_and_the_verdict(small_bundle, drawn, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["--unfreeze", "block3", "--epochs", "1", "--rows", "16", "-o", "tuned", "--no-augment"]
    result = CliRunner().invoke(app, ["finetune", str(small_bundle), str(drawn.root), *words, "--json"])
    assert result.exit_code == 0, result.stderr
    report = json.loads(result.stdout)
    assert (report["parameters"]["total"], report["parameters"]["trainable"]) == (3_937, 2_529)
    assert report["verdict"] and {"before", "after", "mcnemar"} <= set(report)
    bad = CliRunner().invoke(app, ["finetune", str(small_bundle), "nothing", "-o", "x"])
    assert bad.exit_code == 1


def test_the_command_says_what_labels_are_alike(small_bundle, images, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (images / "list.csv").write_text("path,label\nblue/000.png,blue\nred/000.png,Blue\n")
    result = CliRunner().invoke(app, ["finetune", str(small_bundle), "images/list.csv", "-o", "tuned"])
    assert result.exit_code == 1
    assert result.stderr.count("look alike") == 1


def test_the_verdict_is_plain():
    gain = {"difference": {"value": 0.1, "low": 0.02, "high": 0.2}, "p_value": 0.01}
    loss = {"difference": {"value": -0.1, "low": -0.2, "high": -0.02}, "p_value": 0.01}
    none = {"difference": {"value": 0.01, "low": -0.1, "high": 0.1}, "p_value": 0.8}
    assert verdict(2, "early", gain).startswith("fine-tuning helped: +0.1000")
    assert verdict(2, "early", loss).startswith("fine-tuning did harm")
    assert verdict(2, "early", none).startswith("fine-tuning did not help measurably")


@pytest.fixture(scope="module")
def dealt(drawn, small_file, tmp_path_factory):
    """A file of the same features with stratified splits, and a head on it."""
    path = tmp_path_factory.mktemp("dealt") / "dealt.h5"
    extract(
        drawn,
        load_features(small_file).feature_sets[0].recipe,
        path,
        Options(reuse=small_file, split="stratified"),
    )
    return path, trained(path)


def test_rows_of_a_stratified_file_are_in_its_splits_everywhere(dealt, drawn):
    features = load_features(dealt[0])
    chosen = choose_rows(drawn, splits=splits_of(features))
    for place, name in enumerate(SPLIT_NAMES):
        assert {row.id for row, _ in chosen[name]} == set(np.array(features.ids)[features.splits == place])
    assert {name: len(rows) for name, rows in chosen.items()} == {"train": 96, "validation": 12, "test": 12}


def test_images_that_the_head_was_trained_on_do_not_judge_it(dealt, drawn, tmp_path):
    words = [
        "finetune",
        str(dealt[1]),
        str(drawn.root),
        "--epochs",
        "1",
        "--rows",
        "16",
        "-o",
        str(tmp_path / "new"),
    ]
    refused = CliRunner().invoke(app, words)
    assert refused.exit_code == 1 and "the head was trained on images that are in the split" in refused.stderr
    assert_four_parts(refused.stderr)
    assert not (tmp_path / "new").exists()
    done = CliRunner().invoke(app, [*words, "--splits", str(dealt[0]), "--json"])
    assert done.exit_code == 0
    assert json.loads(done.stdout)["rows"] == {"train": 16, "validation": 12, "test": 12}


def test_a_live_head_starts_where_the_cached_one_starts(small_file):
    features = load_features(small_file)
    still = HEADS["keras-linear"](epochs=1, learning_rate=1e-9, seed=3).fit(*features.training_rows())
    np.testing.assert_allclose(untrained(features, 3).coef_, still.coef_, atol=1e-7)
    assert still.coef_.std() > 0.1


def test_a_live_head_is_nearly_that_on_cached_features(small_file, drawn, tmp_path):
    features = load_features(small_file)
    options = live_options({"epochs": 12, "batch_size": 16})
    train_live(features, drawn, tmp_path / "live", options, calibrate=False)
    bundle = Bundle.load(tmp_path / "live")
    assert "calibration" not in bundle.provenance
    assert bundle.feature_sets == features.feature_sets and bundle.name == "keras-linear"
    cached = HEADS["keras-linear"](epochs=12, batch_size=16).fit(*features.training_rows())
    X, _ = features.split("test")
    ours, theirs = bundle.predict_proba(X), cached.predict_proba(X)
    assert np.abs(ours - 0.5).max() > 0.1
    np.testing.assert_allclose(ours, theirs, atol=0.03)
    assert not (tmp_path / "live.run").exists()


def test_half_precision_class_weights_and_tensorboard(small_bundle, drawn, tmp_path):
    pytest.importorskip("tensorboard")
    options = FEW | {"epochs": 1, "unfreeze": "none", "precision": "float16", "loop": "custom"}
    options = TrainingOptions(**options, class_weight="balanced")
    logs = tmp_path / "logs"
    report = finetune(Bundle.load(small_bundle), drawn, tmp_path / "tuned", options, tensorboard=logs)
    assert np.isfinite(losses(report)).all() and report["stopped"] == "all epochs"
    assert list(logs.rglob("events.out.*"))


def test_the_command_trains_live(small_file, drawn, tmp_path):
    words = ["train", str(small_file), "--live", str(drawn.root), "--json"]
    chosen = ["--param", "epochs=1", "--param", "batch_size=16", "--param", "rows=40", "--augment"]
    result = CliRunner().invoke(app, [*words, *chosen, "-o", str(tmp_path / "live")])
    assert result.exit_code == 0, result.stderr
    report = json.loads(result.stdout)
    assert report["head"] == Bundle.load(tmp_path / "live").name == "keras-linear"
    assert report["validation"]["rows"] == 14
    assert report["calibration"]["by"] == "validation rows"


def test_live_training_refuses_early_what_it_cannot_calibrate(small_file, drawn, tmp_path):
    features = load_features(small_file)
    features.splits[features.splits == 1] = 2
    with pytest.raises(HeadstartError, match="rows that the head did not see"):
        train_live(features, drawn, tmp_path / "live", calibrate=True)
    assert not (tmp_path / "live.run").exists()


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--head", "logistic"], 2, "--head logistic"),
        (["--memory", "1GB"], 2, "--memory"),
        (["--param", "C=1"], 2, "learning_rate"),
        (["--param", "source=mine"], 2, "learning_rate"),
        (["--param", "epochs=many"], 2, "a whole number, 1 or more"),
        (["--class-weight", "none"], 2, "balanced"),
    ],
)
def test_what_live_training_refuses(small_file, drawn, tmp_path, words, code, said):
    given = ["train", str(small_file), "--live", str(drawn.root), "-o", str(tmp_path / "live"), *words]
    result = CliRunner().invoke(app, given, terminal_width=200)
    assert (result.exit_code, result.stdout) == (code, "")
    assert said in result.stderr
    assert not (tmp_path / "live").exists()


def test_live_takes_one_file_and_augmentation_takes_live(small_file, drawn):
    several = CliRunner().invoke(app, ["train", *[str(small_file)] * 2, "--live", str(drawn.root)])
    assert several.exit_code == 2 and "several feature files" in several.stderr
    cached = CliRunner().invoke(app, ["train", str(small_file), "--augment"])
    assert cached.exit_code == 2 and "--live" in cached.stderr


def test_history_tells_the_validation_accuracy(tuned):
    report, folder = tuned
    told = report["history"][report["best_epoch"] - 1]["val_accuracy"]
    assert told == pytest.approx(Bundle.load(folder).scores["validation"]["accuracy"]["value"], abs=1e-6)


def test_names_of_loops_and_precisions_are_those_of_their_tables():
    assert tuple(LOOPS) == NAMES_OF_LOOPS and tuple(POLICIES) == PRECISIONS


def test_an_option_given_as_a_keyword_is_told_its_place(small_bundle, small_file, drawn, tmp_path):
    place = r"finetune\(\.\.\., TrainingOptions\(epochs=\.\.\.\)\)"
    with pytest.raises(TypeError, match=place):
        finetune(Bundle.load(small_bundle), drawn, tmp_path / "new", epochs=1)
    with pytest.raises(TypeError, match=r"train_live\(\.\.\., live_options\(\{'augment': \.\.\.\}\)\)"):
        train_live(load_features(small_file), drawn, tmp_path / "new", augment=True)


def test_passes_wait_for_no_autotuning():
    """Its thread may miss that a pass is over, which then ends at 5.12, 10.24 or 20.48 s."""
    rows = Batches(np.zeros((5, 2, 2, 3), np.float32), np.arange(5), 2)
    assert rows.dataset().options().autotune.enabled is False
    assert [len(targets) for _, targets, _ in rows.dataset()] == [2, 2, 1]
