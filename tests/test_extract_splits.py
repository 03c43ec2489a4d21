"""Runs with stratified splits: kept in the file, never moved, refused where another rule is asked for."""

import csv
import json
import shutil
from functools import partial

import h5py
import numpy as np
import pytest
from conftest import assert_four_parts, draw_images, extract_with, refused
from typer.testing import CliRunner

from data import open_source
from data.split_rule import SplitRule
from data.splits import SPLIT_NAMES
from extract import FeatureFile, Recipe
from extract.cli import app
from extract.commands.run import report_lines
from extract.feature_file.diff import diff
from extract.feature_file.repair import repair
from extract.feature_file.verify import verify
from extract.feature_file.writer import merge
from extract.run.compare import compare

TINY = ("--backbone", "mobilenet", "--weights", "none", "--image-size", "32")
RULE = SplitRule("stratified")


@pytest.fixture
def command(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return lambda *words: CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture
def photos(tmp_path):
    """A folder with 20 blue, 12 green and 5 red images."""
    draw_images(tmp_path / "photos", ("blue", "green", "red"), each=5)
    draw_images(tmp_path / "photos", ("blue", "green"), each=7, first=5)
    return draw_images(tmp_path / "photos", ("blue",), each=8, first=12)


@pytest.fixture
def run(tiny_recipe, tmp_path, photos):
    def run(source=photos, name="out.h5", **options):
        source = source if hasattr(source, "rows") else open_source(source)
        return extract_with(source, tiny_recipe, tmp_path / name, **options)

    return run


@pytest.fixture
def splits(tmp_path):
    def splits(name="out.h5") -> dict[str, str]:
        contents = FeatureFile(tmp_path / name).contents
        return dict(zip(contents.ids, [SPLIT_NAMES[split] for split in contents.splits], strict=True))

    return splits


def listed(path, rows, columns=("path", "label", "split", "group")):
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, columns, restval="")
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_each_class_is_in_each_split_as_the_fractions_say(run, splits):
    report = run(split="stratified")
    assert report.split_rule == RULE.to_dict()
    assert report.rows_by_split == {
        "train": {"blue": 16, "green": 10, "red": 4},
        "validation": {"blue": 2, "green": 1, "red": 0},
        "test": {"blue": 2, "green": 1, "red": 1},
    }
    (told,) = [text for text in report.warnings if "fewer than two rows" in text]
    assert told.startswith(
        "2 classes have fewer than two rows in a split: green (1 validation, 1 test), red (0 v"
    )


def test_a_run_without_the_option_keeps_rule_and_splits(run, splits, tmp_path, seen):
    run(split=SplitRule("stratified", (0.6, 0.2, 0.2), 5))
    before, was = (tmp_path / "out.h5").read_bytes(), splits()
    seen.clear()
    for split in (None, SplitRule("stratified", (0.6, 0.2, 0.2), 5)):
        assert run(split=split).computed == 0 and seen == []
        assert (tmp_path / "out.h5").read_bytes() == before and splits() == was


def test_new_rows_are_dealt_and_stored_ones_stay(run, splits, photos, seen):
    run(split="stratified")
    was = splits()
    seen.clear()
    draw_images(photos, ("blue", "green", "red"), each=10, first=20)
    report = run()
    now = splits()
    assert {name: now[name] for name in was} == was
    assert (report.computed, sum(seen)) == (30, 30)
    assert report.rows_by_split == {
        "train": {"blue": 24, "green": 18, "red": 12},
        "validation": {"blue": 3, "green": 2, "red": 1},
        "test": {"blue": 3, "green": 2, "red": 2},
    }
    assert not any("another split" in text for text in report.warnings)


def test_renamed_and_relabelled_images_keep_their_split(run, splits, photos):
    run(split="stratified")
    was = splits()
    (name,) = [name for name in was if name.startswith("red") and was[name] == "test"]
    (photos / name).rename(photos / "blue" / "was_red.png")
    report = run()
    assert report.computed == 0 and splits()["blue/was_red.png"] == "test"
    assert {name: split for name, split in splits().items() if name in was} == {
        other: split for other, split in was.items() if other != name
    }


@pytest.mark.parametrize(
    ("first", "second"),
    [(None, "stratified"), ("stratified", "hash"), ("stratified", SplitRule("stratified", seed=1))],
)
def test_another_rule_is_refused_with_what_it_would_move(run, tmp_path, seen, photos, first, second):
    run(split=first)
    before = (tmp_path / "out.h5").read_bytes()
    seen.clear()
    draw_images(photos, ("red",), each=2, first=70)
    words = ["of 37 rows would have another split", "training rows", "heads trained", "--reuse", "out.h5"]
    refused(lambda: run(split=second), *words)
    assert (tmp_path / "out.h5").read_bytes() == before and seen == []
    report = run(name="other.h5", split=second, reuse=tmp_path / "out.h5")
    assert report.computed == 2


def test_the_refusal_counts_the_rows_that_would_move(run, splits):
    run()
    was = splits()
    run(name="other.h5", split="stratified")
    now = splits("other.h5")
    moved = [name for name in was if was[name] != now[name]]
    learned = [name for name in moved if was[name] == "train"]
    words = f"{len(moved)} of 37 rows would have another split, {len(learned)} of them training rows"
    refused(lambda: run(split="stratified"), words)


def test_the_order_of_the_source_changes_nothing(run, splits, photos, tmp_path):
    rows = [
        {"path": f"{each.parent.name}/{each.name}", "label": each.parent.name}
        for each in photos.rglob("*.png")
    ]
    rows.sort(key=lambda row: row["path"])
    run(listed(photos / "list.csv", rows), split="stratified")
    run(listed(photos / "list.csv", rows[::-1]), name="other.h5", split="stratified")
    assert splits("other.h5") == splits()
    assert (tmp_path / "other.h5").read_bytes() == (tmp_path / "out.h5").read_bytes()


def test_rows_with_a_split_of_the_source_keep_it(run, splits, photos):
    rows = [
        {"path": f"blue/{n:03d}.png", "label": "blue", "split": "test" if n < 10 else ""} for n in range(20)
    ]
    report = run(listed(photos / "list.csv", rows), split="stratified")
    found = splits()
    assert {found[row["path"]] for row in rows[:10]} == {"test"}
    assert [list(found.values()).count(name) for name in SPLIT_NAMES] == [8, 1, 11]
    assert report.own_splits == 10
    assert report_lines(report.to_dict())[1].endswith(
        ": 8 train, 1 validation, 11 test; 10 of them as the source says"
    )


def test_a_source_whose_rows_all_have_a_split_has_none_to_deal(run, photos, tmp_path):
    rows = [{"path": f"blue/{n:03d}.png", "label": "blue", "split": "train"} for n in range(20)]
    source = listed(photos / "list.csv", rows)
    refused(
        lambda: run(source, split="stratified"), "has no row to deal", "20 rows with a split of their own"
    )
    assert not (tmp_path / "out.h5").exists()


def test_groups_and_copies_stay_in_one_split(run, splits, photos):
    shutil.copy(photos / "blue" / "000.png", photos / "blue" / "copy.png")
    rows = [
        {"path": f"blue/{n:03d}.png", "label": "blue", "group": f"burst {n // 4}" if n else ""}
        for n in range(20)
    ]
    run(listed(photos / "list.csv", [*rows, {"path": "blue/copy.png", "label": "blue"}]), split="stratified")
    found = splits()
    assert found["blue/000.png"] == found["blue/copy.png"]
    for burst in range(5):
        assert len({found[f"blue/{n:03d}.png"] for n in range(max(1, 4 * burst), 4 * burst + 4)}) == 1


def test_groups_that_come_later_move_no_stored_row_and_another_file_keeps_them_whole(
    run, splits, photos, tmp_path
):
    rows = [{"path": f"blue/{n:03d}.png", "label": "blue"} for n in range(20)]
    run(listed(photos / "list.csv", rows), split="stratified")
    was = splits()
    for number, row in enumerate(rows):
        row["group"] = f"burst {number // 4}"
    report = run(listed(photos / "list.csv", rows))
    assert splits() == was
    assert any("in training and in another split" in text for text in report.warnings)
    run(listed(photos / "list.csv", rows), name="other.h5", split="stratified", reuse=tmp_path / "out.h5")
    now = splits("other.h5")
    assert all(
        len({now[f"blue/{n:03d}.png"] for n in range(first, first + 4)}) == 1 for first in range(0, 20, 4)
    )


def test_unlabelled_rows_are_dealt_too(run, splits, photos):
    rows = [{"path": f"blue/{n:03d}.png", "label": "blue" if n < 10 else ""} for n in range(20)]
    report = run(listed(photos / "list.csv", rows), split="stratified")
    assert report.rows_by_split["train"] == {"blue": 8, "(unknown)": 8}


def test_broken_images_take_no_part(run, photos):
    for number in range(3):
        (photos / "red" / f"broken{number}.png").write_text("no image")
    report = run(split="stratified", max_bad=3)
    assert report.rejected == 3
    assert [report.rows_by_split[name]["red"] for name in SPLIT_NAMES] == [4, 0, 1]


def test_a_sharded_file_and_a_merged_one_have_the_same_rule_and_splits(run, splits, photos, tmp_path):
    run(split="stratified")
    run(name="sharded", split="stratified", layout="sharded")
    assert splits("sharded") == splits()
    merge(tmp_path / "sharded", tmp_path / "merged.h5")
    assert (tmp_path / "merged.h5").read_bytes() == (tmp_path / "out.h5").read_bytes()
    draw_images(photos, ("red",), each=5, first=50)
    was = splits("sharded")
    run(name="sharded")
    run(name="merged.h5")
    now = splits("sharded")
    assert now == splits("merged.h5") and {name: now[name] for name in was} == was


def test_rows_of_reused_files_bring_features_and_no_splits(run, splits, tmp_path):
    run(name="hashed.h5")
    report = run(split="stratified", reuse=tmp_path / "hashed.h5")
    assert report.computed == 0
    run(name="fresh.h5", split="stratified")
    assert splits() == splits("fresh.h5")


def test_rows_that_repair_drops_come_back_into_their_split(run, splits, tmp_path):
    run(split="stratified")
    was = splits()
    with h5py.File(tmp_path / "out.h5", "r+") as file:
        for row in range(0, 37, 4):
            file["features/avg_pool"][row] += 1
    assert repair(tmp_path / "out.h5").dropped == 10
    assert verify(tmp_path / "out.h5").sound
    assert run().computed == 10
    assert splits() == was


def test_repair_says_that_splits_are_lost(run, tmp_path):
    run(split="stratified")
    run(name="hashed.h5")
    for name, lost in (("out.h5", RULE.words), ("hashed.h5", "")):
        with h5py.File(tmp_path / name, "r+") as file:
            file["labels"][0] = 1
        assert repair(tmp_path / name).lost_splits == lost


def test_an_image_that_cannot_be_read_for_a_while_keeps_its_split(run, splits, photos, tmp_path):
    rows = [{"path": f"blue/{n:03d}.png", "label": "blue"} for n in range(20)]
    source = listed(photos / "list.csv", rows)
    run(source, split="stratified")
    was = splits()
    away = [name for name in was if was[name] == "test"][:1] + [name for name in was if was[name] == "train"][
        :2
    ]
    for name in away:
        (photos / name).rename(tmp_path / name.replace("/", "-"))
    assert run(source, max_bad=3).rows == 17
    for name in away:
        (tmp_path / name.replace("/", "-")).rename(photos / name)
    run(source)
    assert splits() == was


def test_verify_and_diff_know_the_rule(run, photos, tmp_path):
    run(split="stratified")
    run(name="hashed.h5")
    assert compare(tmp_path / "out.h5", photos).sound
    found = diff(tmp_path / "out.h5", tmp_path / "hashed.h5")
    assert [rule["name"] for rule in found.split_rule] == ["stratified", "hash"] and found.other_split
    assert diff(tmp_path / "out.h5", tmp_path / "out.h5").split_rule == []
    (photos / "list.csv").write_text(
        "path,label,split\nblue/000.png,blue,validation\nblue/001.png,blue,test\n"
    )
    problems = compare(tmp_path / "out.h5", open_source(photos / "list.csv")).problems
    assert any("another label or split" in text for text in problems)


def test_plan_shows_the_table_that_the_run_then_gives(command, photos):
    words = ("photos", "-o", "out.h5", *TINY, "--split", "stratified")
    planned = json.loads(command("run", *words, "--plan", "--json").stdout)
    shown = command("run", *words, "--plan").stdout
    assert "splits    stratified by 0.8,0.1,0.1 with seed 0\n" in shown
    assert "red 4 0 1" in [" ".join(line.split()) for line in shown.splitlines()]
    done = json.loads(command("run", *words, "--json").stdout)
    info = json.loads(command("info", "out.h5", "--json").stdout)
    for key in ("split_rule", "rows_by_split"):
        assert planned[key] == done[key] == info[key]
    assert planned["warnings"] == done["warnings"]
    refusal = command("run", "photos", "-o", "out.h5", *TINY, "--split", "hash", "--plan")
    assert refusal.exit_code == 1 and "by another rule" in refusal.stderr


def test_run_info_and_diff_say_the_rule(command, photos):
    words = ("photos", *TINY)
    done = command(
        "run", *words, "-o", "a.h5", "--split", "stratified", "--fractions", "0.5,0,0.5", "--split-seed", 3
    )
    said = "stratified by 0.5,0,0.5 with seed 3"
    assert f"splits {said}: 19 train, 0 validation, 18 test\n" in done.stdout
    assert "splits" not in command("run", *words, "-o", "b.h5", "--reuse", "a.h5").stdout
    assert f"splits    {said}\n" in command("info", "a.h5").stdout
    assert "splits" not in command("info", "b.h5").stdout
    assert f"splits  {said} | by a hash of each image\n" in command("diff", "a.h5", "b.h5").stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--split", "random"], "no rule of splits 'random'"),
        (["--fractions", "0.8,0.1,0.1"], "--fractions and --split-seed go with --split stratified"),
        (["--split", "hash", "--split-seed", "1"], "--fractions and --split-seed go with --split stratified"),
        (["--split", "stratified", "--fractions", "0.8,0.1"], "three numbers, 0 or more, that add up to 1"),
        (
            ["--split", "stratified", "--fractions", "0.8,0.1,0.2"],
            "three numbers, 0 or more, that add up to 1",
        ),
        (["--split", "stratified", "--fractions", ""], "three numbers, 0 or more, that add up to 1"),
    ],
)
def test_bad_options_are_one_message_before_any_work(command, words, said):
    result = command("run", "no such folder", *TINY, *words)
    assert result.exit_code == 2 and said in " ".join(result.stderr.split())
    assert_four_parts(result.stderr)


def test_a_rule_in_python_that_is_none_is_refused():
    from extract import Options

    for split in ("random", 0.8, ("stratified",)):
        refused(partial(Options, split=split), "no rule of splits")


def test_the_recipe_knows_nothing_of_splits():
    assert "split" not in json.loads(Recipe("xception", weights="00").to_json())


def test_train_names_thin_classes(run, tmp_path):
    from classify.cli import app as classify

    run(split="stratified")
    result = CliRunner().invoke(classify, ["train", str(tmp_path / "out.h5"), "--head", "centroid"])
    assert result.exit_code == 0
    told = "2 classes have fewer than two rows in a split: green (1 validation, 1 test), red (0 validation, 1"
    assert told in " ".join(result.stderr.split())


def test_splits_are_those_that_the_library_deals(run, splits, tmp_path):
    """The file holds what `data.stratified` says of its rows, nothing else."""
    from data.stratified import ToDeal, stratified

    run(split="stratified")
    contents, none = FeatureFile(tmp_path / "out.h5").contents, [None] * 37
    digests = [bytes(digest) for digest in contents.digests]
    dealt = stratified(ToDeal(contents.labels.tolist(), digests, none, none, none), RULE)
    assert np.array_equal([SPLIT_NAMES.index(name) for name in dealt], contents.splits)
