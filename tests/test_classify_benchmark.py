"""The benchmark of a small backbone: every arm in one short run, and what is made of its numbers."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import asdict, replace

import numpy as np
import pytest
from conftest import assert_four_parts, draw_images
from PIL import Image
from typer.testing import CliRunner

from classify import Bundle, load_features
from classify.benchmark.arm_process import Clock, main
from classify.benchmark.arms import ARMS, Comparison, Job, some_rows
from classify.benchmark.benchmark import _begin, _counted_rows, _run, benchmark, check_output
from classify.benchmark.report import (
    all_epochs,
    benchmark_lines,
    break_even,
    epochs_that_fit,
    findings,
    gain,
    report_of,
    time_to,
)
from classify.cli import app
from classify.scores.intervals import wilson
from data import HeadstartError, open_source
from data.machine import this_machine

MOBILENET = {"backbone": "mobilenet", "weights": "none", "image_size": (32, 32)}
GRAPH = [name for name, arm in ARMS.items() if arm.options]


def benchmarked(folder, backbone: str):
    """Run the command with no time for a second epoch; return what it prints as JSON, and its folder."""
    source = draw_images(folder / "images", each=60)
    words = ["benchmark", source, "-o", folder / "out", "--rows", 40, "--budget", 0.001, "--json"]
    words += ["--backbone", backbone, "--weights", "none", "--image-size", 32, "--target", 0.5]
    words += ["--crop", 0.9, "--scaling", "0/1"]
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout), folder / "out"


def run_here(job: Job, files):
    """Run an arm without the seconds that a process takes to load TensorFlow."""
    asked, answered = files / "job.json", files / "result.json"
    asked.write_text(json.dumps(asdict(job)))
    main(asked, answered)
    return json.loads(answered.read_text())


@pytest.fixture(scope="module")
def run(small_recipe, tmp_path_factory):
    """A benchmark of a backbone that this process alone knows; the cached arm has a process of its own."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(
            "classify.benchmark.benchmark._run",
            lambda job, files: (_run if job.arm == "cached" else run_here)(job, files),
        )
        return benchmarked(tmp_path_factory.mktemp("benchmark"), small_recipe.backbone)


@pytest.mark.slow
def test_every_arm_in_a_process_of_its_own(cache, tmp_path):
    report, folder = benchmarked(tmp_path, "mobilenet")
    assert [arm["name"] for arm in report["arms"]] == ["cached-cold", "cached-warm", *GRAPH]
    assert report["warm_epoch_speedup"] > 1 and (folder / "benchmark.png").is_file()


def test_every_arm_has_one_whole_epoch_and_its_figures(run):
    report, _ = run
    assert [arm["name"] for arm in report["arms"]] == ["cached-cold", "cached-warm", *GRAPH]
    for arm in report["arms"]:
        planned = 10 if arm["name"].startswith("finetune") else 20
        trained = 20 if arm["name"].startswith("cached") else 1
        assert (arm["planned_epochs"], arm["epochs"]) == (planned, trained)
        assert arm["accuracy"]["low"] <= arm["accuracy"]["value"] <= arm["accuracy"]["high"]
        assert 0 < arm["seconds_per_epoch"] < arm["seconds"] <= arm["total"]["seconds"]
        assert arm["total"]["projected"] == (trained < planned)
        assert arm["peak_memory"] > 10**7
        assert arm["curve"][-1][0] <= arm["seconds"]
    assert report["split_rows"] == {"train": 40, "validation": 14, "test": 9}
    assert report["machine"] == this_machine().to_dict()
    assert any("instead of the budget" in note for note in report["notes"])


def test_cold_is_warm_and_the_extraction(run):
    report, _ = run
    cold, warm = report["arms"][:2]
    assert cold["seconds"] == pytest.approx(report["extraction_seconds"] + warm["seconds"])
    assert cold["accuracy"] == warm["accuracy"]
    live = report["arms"][2]
    assert report["warm_epoch_speedup"] == live["seconds_per_epoch"] / warm["seconds_per_epoch"]
    once, all_live = report["extraction_seconds"], live["total"]["seconds"]
    even = {"heads": break_even(once, warm["seconds"], all_live), "projected": True}
    assert report["break_even_heads"] == even


def test_fine_tuning_counts_what_it_starts_from(run):
    report, _ = run
    arms = {arm["name"]: arm for arm in report["arms"]}
    for name in ("finetune-last", "finetune-all"):
        assert arms[name]["curve"][0][0] > arms["cached-cold"]["seconds"]
    trained = [arms[name]["parameters"]["trainable"] for name in GRAPH]
    assert trained == [65, 65, 2_529, 3_713]


def test_all_arms_are_compared_on_the_same_test_rows(run):
    report, folder = run
    assert len(report["comparisons"]) == 10
    for each in report["comparisons"]:
        assert sum(each[name] for name in ("both_right", "only_first", "only_second", "both_wrong")) == 9
    bundle, features = Bundle.load(folder / "head"), load_features(folder / "features.h5")
    assert len(features.ids) == 40 + 14 + 9
    judged = bundle.evaluate(features)["accuracy"]["value"]
    assert judged == report["arms"][1]["accuracy"]["value"]


def test_the_folder_holds_table_json_and_figure(run):
    report, folder = run
    names = {path.name.removesuffix(".lock") for path in folder.iterdir()}
    assert names == {"features.h5", "head", "benchmark.json", "benchmark.txt", "benchmark.png"}
    kept = json.loads((folder / "benchmark.json").read_text())
    assert kept["finished"] and {name: kept[name] for name in report} == report
    table = (folder / "benchmark.txt").read_text().splitlines()
    assert table == benchmark_lines(report)
    projected = [line for line in table[3:9] if "projected" in line]
    assert [line.split("  ")[0] for line in projected] == [ARMS[name].label for name in GRAPH]
    with Image.open(folder / "benchmark.png") as figure:
        assert figure.format == "PNG" and np.asarray(figure.convert("L")).std() > 5
    check_output(folder)


def test_the_cached_head_and_the_live_arms_have_the_same_rows(run, cache):
    _, folder = run
    source = str(folder.with_name("images"))
    job = Job("live", source, {}, 40, 0, "", str(folder))
    features = load_features(folder / "features.h5")
    assert {row.id for row in some_rows(job).rows} == set(features.ids)


def test_what_the_backbone_sees_is_as_asked(run):
    (own,) = load_features(run[1] / "features.h5").feature_sets
    assert (own.recipe.crop, own.recipe.scaling) == (0.9, "0.0,0.0,0.0/1.0,1.0,1.0")


def arm(epochs, seconds, accuracy=0.5, rows=400, right=200):
    """Make what the process of an arm says."""
    ends = np.cumsum([seconds] * epochs).tolist()
    return {
        "seconds": ends[-1],
        "epoch_seconds": [seconds] * epochs,
        "curve": [[end, accuracy] for end in ends],
        "best_epoch": 1,
        "peak_memory": 10**8,
        "parameters": {"total": 10, "trainable": 1, "non_trainable": 9},
        "ids": [str(number) for number in range(rows)],
        "labels": [1] * rows,
        "predicted": [1] * right + [0] * (rows - right),
    }


def made_up(extraction, live=10.0, **better):
    """Make a report of made-up arms: a cached head of 0.1 s an epoch, and live ones."""
    results = {"extract": {"seconds": extraction, "peak_memory": 10**9, "engine": {}, "rejected": 0}}
    results["cached"] = arm(20, 0.1)
    for name in GRAPH:
        results[name] = arm(2, live, right=better.get(name.replace("-", "_"), 200))
    return report_of({"target": None}, ARMS, results, ["first"])


def test_findings_follow_the_numbers():
    loses = made_up(25.0, live_augmented=260, finetune_all=140)
    assert loses["break_even_heads"] == {"heads": 1, "projected": True}
    assert loses["break_even_epochs"] == {"epochs": 3, "projected": True}
    told = findings(loses)
    assert "one head and one epoch: live 10.0 s, extraction and a cached head 27.0 s; caching loses" in told
    assert "one head alone: caching loses below 3 live epochs (projected)" in told
    assert [line.rpartition(": ")[2] for line in told[-3:]] == [
        "caching loses so far",
        "no measurable difference so far",
        "caching wins so far",
    ]
    whole = {**loses["arms"][-1], "epochs": 10}
    assert gain(whole, {"difference": wilson(9, 10).to_dict(), "p_value": 0.04}).endswith(": caching loses")
    wins = made_up(3.0)
    assert wins["break_even_epochs"] == {"epochs": 1, "projected": False}
    assert "caching loses nothing" in findings(wins)[2] and len(findings(wins)) == 6
    never = made_up(3.0, live=0.05)
    assert never["break_even_heads"]["heads"] is None and "never" in findings(never)[1]
    assert loses["target"] == 0.49 and loses["arms"][0]["peak_memory"] == 10**9
    assert loses["notes"][0] == "first"


def test_break_even_is_the_fewest_heads():
    for once, cached, live in [(100, 1, 51), (99.9, 0.1, 10.1), (7, 3, 4), (0.5, 1, 2)]:
        heads = break_even(once, cached, live)
        assert once + heads * cached <= heads * live
        assert heads == 1 or once + (heads - 1) * cached > (heads - 1) * live
    assert break_even(1, 2, 2) is None and break_even(1, 3, 2) is None


def test_a_budget_decides_how_many_epochs_are_trained():
    assert epochs_that_fit(59, 20, 19) == 2 and epochs_that_fit(0, 20, 19) == 0
    assert all_epochs(50, [20, 10, 20], 20) == {"seconds": 50 + 17 * 15, "projected": True}
    assert time_to([(5, 0.1)], 0.2) is None
    clock = Clock(0.0, seconds=100.0, testing=0.5)
    clock.passed = lambda: 50.0
    assert not clock.enough([{"seconds": 20.0}])
    assert clock.enough([{"seconds": 20.0}, {"seconds": 40.0}])
    assert clock.ends == {1: 50.0, 2: 50.0}


def test_a_source_with_fewer_rows_is_taken_whole(tmp_path):
    source = open_source(draw_images(tmp_path / "images", each=60))
    found, notes = _counted_rows(source, 500)
    assert found["train"] == 97 and "500 training rows asked for; the source has 97" in notes


def test_what_a_benchmark_refuses(tmp_path, cache):
    images = draw_images(tmp_path / "images", each=60)
    few = draw_images(tmp_path / "few", each=1)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "features.h5").write_text("mine")
    (tmp_path / "file").write_text("mine")
    refused = [
        (images, "mine", {}, "cannot take a benchmark"),
        (images, "images", {}, "cannot take a benchmark"),
        (images, "file", {}, "cannot take"),
        (few, "new", {}, "cannot be benchmarked"),
        (images, "new", {"backbone": "xceptoin"}, "xception"),
        (tmp_path / "nothing", "new", {}, "no source"),
    ]
    for source, name, options, said in refused:
        with pytest.raises(HeadstartError, match=said) as error:
            benchmark(str(source), tmp_path / name, Comparison(**MOBILENET | options))
        assert_four_parts(str(error.value))
    assert (tmp_path / "mine" / "features.h5").read_text() == "mine"
    assert not (tmp_path / "new").exists()


def test_an_arm_ends_with_the_process_that_started_it(tmp_path):
    os.mkfifo(tmp_path / "job")  # reading it waits for ever
    words = [
        sys.executable,
        "-m",
        "classify.benchmark.arm_process",
        str(tmp_path / "job"),
        str(tmp_path / "result"),
    ]
    arm = subprocess.Popen(words, stdin=subprocess.PIPE)
    with pytest.raises(subprocess.TimeoutExpired):
        arm.wait(3)
    arm.stdin.close()
    assert arm.wait(60) == 1


def test_an_arm_that_fails_is_told(tmp_path, cache, monkeypatch, capfd):
    images = draw_images(tmp_path / "images", each=60)
    job = Job("extract", str(images), {}, 40, 0, "no recipe", str(tmp_path))
    with pytest.raises(HeadstartError, match="extraction ended without a result") as error:
        _run(job, tmp_path)
    assert_four_parts(str(error.value))
    capfd.readouterr()
    with pytest.raises(HeadstartError, match="no source"):
        _run(replace(job, source=str(tmp_path / "gone")), tmp_path)
    assert capfd.readouterr().err == ""  # its process, which also waits for our end, ends cleanly

    def interrupted(*words, **how):
        raise KeyboardInterrupt

    monkeypatch.setattr("subprocess.Popen.wait", interrupted)
    with pytest.raises(KeyboardInterrupt, match="the same command begins anew"):
        benchmark(str(images), tmp_path / "out", Comparison(**MOBILENET))
    check_output(tmp_path / "out")


def test_other_files_stay_in_the_folder_of_a_benchmark(run, tmp_path):
    folder = shutil.copytree(run[1], tmp_path / "again")
    for name in ("notes.txt", "features.h5.bak", "head/figure.txt"):
        (folder / name).write_text("precious")
    check_output(folder)
    _begin(folder)
    assert not (folder / "features.h5").exists()
    assert all((folder / name).is_file() for name in ("notes.txt", "features.h5.bak", "head/figure.txt"))
    (folder / "features.h5").write_text("mine")
    with pytest.raises(HeadstartError, match="a benchmark would replace") as error:
        check_output(folder)
    assert_four_parts(str(error.value))
