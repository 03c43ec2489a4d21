"""What commands do where an output is there already: only what is ours by name and content is replaced."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import assert_four_parts
from folders import below, mode
from numpy_engine import PART, RECIPE, arrays
from PIL import Image
from typer.testing import CliRunner

from classify import Bundle, load_features
from classify.bundle.export import export
from classify.cli import app as classify
from classify.selection.leaderboard import write_leaderboard
from classify.selection.sweep import journal_of
from data import HeadstartError
from data.cli import app as data
from data.output.ours import kind_of_output
from data.sources.arrays import from_arrays
from extract import FeatureFile, Options, extract
from extract.cli import app as extraction
from extract.feature_file.repair import repair

SAVING = """
import sys
from classify import Bundle
first, second = map(Bundle.load, sys.argv[1:3])
print("ready", flush=True)
while True:
    second.save(sys.argv[3])
    first.save(sys.argv[3])
"""
TINY = ("--backbone", "mobilenet", "--weights", "none", "--image-size", "32")
REFUSED = {  # a command for each output of each; PATH is what it must not touch
    "run, a file": (extraction, "run images -o notes", *TINY),
    "run, a folder": (extraction, "run images -o folder", *TINY),
    "run, a lock": (extraction, "run images -o poetry", *TINY),
    "run, shards": (extraction, "run images -o folder --layout sharded", *TINY),
    "merge": (extraction, "merge shards -o notes"),
    "preview": (data, "preview images -o picture.png"),
    "train, a file": (classify, "train f.h5 -o notes"),
    "train, a folder": (classify, "train f.h5 -o folder"),
    "sweep, a bundle": (classify, "sweep f.h5 -o folder"),
    "sweep, a leaderboard": (classify, "sweep f.h5 --leaderboard f.h5"),
    "sweep, a table": (classify, "sweep f.h5 --leaderboard table.csv"),
    "sweep, a journal": (classify, "sweep f.h5 -o best"),
    "finetune": (classify, "finetune bundle images -o folder"),
    "finetune, a state": (classify, "finetune bundle images -o tuned"),
    "export": (classify, "export bundle -o notes.keras"),
    "export, a card": (classify, "export bundle -o other.keras"),
    "export, a folder": (classify, "export bundle -o folder --format saved_model"),
    "benchmark": (classify, "benchmark images -o folder", *TINY),
    "evaluate": (classify, "evaluate bundle f.h5 --figures folder"),
    "report": (classify, "report bundle f.h5 --no-images -o notes"),
    "evaluate two": (classify, "evaluate bundle bundle f.h5 --figures two"),
}


@pytest.fixture
def strange(small_file, small_bundle, tmp_path, monkeypatch):
    """A folder of inputs, and of files and folders that no command may touch."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(small_file, "f.h5")
    shutil.copytree(small_bundle, "bundle")
    shutil.copytree(small_file.with_name("images"), "images")
    for name in ("notes", "notes.keras", "other.keras.json", "table.csv", "poetry.lock", "best.sweep.jsonl"):
        Path(name).write_text('{"json": 1}\n')
    for name in ("folder/confusion.png", "two/second/roc.png", "tuned.run/notes", "folder/saved_model.pb"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text("precious")
    Image.new("RGB", (9, 9)).save("picture.png")
    file = FeatureFile("f.h5")
    from extract.feature_file.writer import write_feature_file

    rows = [(file, row) for row in range(len(file.contents.ids))]
    write_feature_file(Path("shards"), file.contents, rows, "sharded")
    return tmp_path


@pytest.mark.parametrize("words", REFUSED.values(), ids=REFUSED)
def test_what_is_not_ours_is_refused_before_any_work(words, strange):
    before = below(strange)
    app, line, *more = words
    done = CliRunner().invoke(app, [*line.split(), *more])
    assert done.exit_code == 1, done.output
    assert_four_parts(done.stderr)
    assert below(strange) == before


def small(app, line: str) -> None:
    done = CliRunner().invoke(app, line.split())
    assert done.exit_code == 0, done.output


WRITTEN = {  # a command, its output, the kind that this is
    "preview": (data, "preview images -o {}.png", "{}.png", "figure"),
    "train": (classify, "train f.h5 --head centroid -o {}", "{}", "bundle"),
    "sweep": (
        classify,
        "sweep f.h5 --heads centroid --jobs 1 -o winner --leaderboard {}",
        "{}",
        "leaderboard",
    ),
    "merge": (extraction, "merge shards -o {}.h5", "{}.h5", "feature file"),
    "export": (classify, "export bundle -o {}.keras --fixed-size", "{}.keras", "exported model"),
    "evaluate": (classify, "evaluate bundle f.h5 --figures {}", "{}/roc.png", "figure"),
}


@pytest.mark.parametrize(("app", "line", "name", "kind"), WRITTEN.values(), ids=WRITTEN)
def test_links_modes_and_folders_above(app, line, name, kind, strange):
    """Each output is written into a missing folder, through a link, and again over itself with its mode."""
    Path("disk").mkdir()
    top = line.split("{}")[1].split()[0] if line.split("{}")[1].split() and "{}." in line else ""
    Path(f"link{top}").symlink_to(f"disk/new/it{top}")
    small(app, line.format("link"))
    target, link = Path("disk/new") / name.format("it"), Path(name.format("link"))
    assert Path(f"link{top}").is_symlink() and kind_of_output(target if kind != "exported model" else link)
    assert target.exists()
    if kind == "feature file":
        return  # merge replaces nothing
    number = target.stat().st_ino
    target.chmod(0o700)
    small(app, line.format("link"))
    assert Path(f"link{top}").is_symlink() and kind_of_output(link) == kind
    assert mode(target) == 0o700 and target.stat().st_ino != number
    small(app, line.format("missing/folder/it"))
    assert kind_of_output(Path(name.format("missing/folder/it"))) == kind
    small(app, line.format("missing/folder/it"))


def test_a_run_writes_through_links_and_keeps_the_mode(numpy_backbone, tmp_path):
    (tmp_path / "link.h5").symlink_to("not/yet/f.h5")
    (tmp_path / "shards").symlink_to("not/yet/folder")
    target = tmp_path / "not/yet/f.h5"
    assert extract(arrays(), RECIPE, tmp_path / "link.h5", Options(batch_size=PART)).file == str(
        tmp_path / "link.h5"
    )
    target.chmod(0o600)
    more = from_arrays(np.concatenate([arrays().images, arrays(2, first=9).images]), ["cat", "dog"] * 65)
    for name, kind in (("link.h5", "feature file"), ("shards", "sharded feature file")):
        layout = "sharded" if name == "shards" else None
        extract(more, RECIPE, tmp_path / name, Options(batch_size=PART, layout=layout))
        assert (tmp_path / name).is_symlink() and kind_of_output(tmp_path / name) == kind
    assert mode(target) == 0o600
    assert sorted(os.listdir(tmp_path)) == ["link.h5", "not", "shards"]
    assert sorted(os.listdir(tmp_path / "not/yet")) == ["f.h5", "folder"]


def test_repair_keeps_an_earlier_damaged_file_and_the_link(numpy_backbone, tmp_path):
    import h5py

    target = tmp_path / "disk.h5"
    (tmp_path / "link.h5").symlink_to(target)
    (tmp_path / "disk.h5.damaged").write_text("an earlier one")
    extract(arrays(), RECIPE, tmp_path / "link.h5", Options(batch_size=PART))
    with h5py.File(target, "r+") as file:
        file["labels"][0] ^= 1
    assert repair(tmp_path / "link.h5").salvaged
    assert (tmp_path / "disk.h5.damaged").read_text() == "an earlier one"
    assert (tmp_path / "disk.h5.damaged2").is_file() and (tmp_path / "link.h5").is_symlink()


def test_an_export_that_was_changed_since_is_the_users(small_bundle, tmp_path):
    bundle, path = Bundle.load(small_bundle), tmp_path / "model"
    export(bundle, path, "saved_model", any_size=False)
    mine = [path / name for name in ("notes.txt", "variables/mine", "assets/mine")]
    for each in mine:
        each.write_text("precious")
    export(bundle, path, "saved_model", any_size=False)
    assert all(each.read_text() == "precious" for each in mine)
    assert kind_of_output(path) == "exported model" and kind_of_output(f"{path}.json") == "export card"
    (path / "saved_model.pb").write_bytes(b"quantized by hand")
    before = below(tmp_path)
    with pytest.raises(HeadstartError, match="cannot take"):
        export(bundle, path, "saved_model", any_size=False)
    assert below(tmp_path) == before


def test_leaderboard_and_journal_are_known_by_their_first_line(small_file, tmp_path):
    from classify.selection.trials import Trial, kept_in

    write_leaderboard(tmp_path / "board.csv", [])
    assert kind_of_output(tmp_path / "board.csv") == "leaderboard"
    before = "rank,head,params,mean,deviation,low,high,log_loss,seconds\n"  # as 0.1.0 wrote it at first
    (tmp_path / "before.csv").write_text(before)
    assert kind_of_output(tmp_path / "before.csv") == "leaderboard"
    digest = load_features(small_file).content_digest
    with kept_in(tmp_path / "best.sweep.jsonl", digest) as keep:
        keep(Trial("key", 0, 0, 2, [1], [2], 0.5, 0.5, 1.0))
    assert kind_of_output(tmp_path / "best.sweep.jsonl") == "journal of a sweep"
    assert journal_of(tmp_path / "best") == tmp_path / "best.sweep.jsonl"


@pytest.mark.parametrize("kills", [3, pytest.param(100, marks=pytest.mark.slow)])
def test_kills_while_bundles_are_saved_leave_one_whole_and_every_foreign_file(kills, small_file, tmp_path):
    from classify import HEADS

    features, saved = load_features(small_file), tmp_path / "saved"
    for name in ("logistic", "centroid"):
        Bundle.of(HEADS[name]().fit(*features.training_rows()), features, name).save(tmp_path / name)
    shutil.copytree(tmp_path / "logistic", saved)
    (saved / "figures").mkdir()
    for name in ("notes.txt", "figures/roc.png"):
        (saved / name).write_text("precious")
    command = [sys.executable, "-c", SAVING, *map(str, (tmp_path / "logistic", tmp_path / "centroid"))]
    seen = set()
    for moment in np.random.default_rng(kills).uniform(0, 0.4, kills):
        with subprocess.Popen([*command, str(saved)], stdout=subprocess.PIPE) as child:
            child.stdout.readline()
            time.sleep(moment)
            child.send_signal(signal.SIGKILL)
        bundle = Bundle.load(saved)
        seen.add(bundle.name)
        assert set(os.listdir(saved)) == {*os.listdir(tmp_path / bundle.name), "notes.txt", "figures"}
        assert (saved / "seen.npy").read_bytes() == (tmp_path / bundle.name / "seen.npy").read_bytes()
        assert [(saved / name).read_text() for name in ("notes.txt", "figures/roc.png")] == ["precious"] * 2
    Bundle.load(tmp_path / "centroid").save(saved)
    assert sorted(os.listdir(tmp_path)) == ["centroid", "logistic", "saved"]
    assert kills == 3 or len(seen) == 2


@pytest.mark.parametrize(
    ("app", "words"),
    [
        (classify, ["audit", "LONG"]),
        (classify, ["evaluate", "LONG", "f.h5"]),
        (classify, ["info", "LONG"]),
        (classify, ["train", "f.h5", "-o", "LONG"]),
        (classify, ["audit", "f.h5", "--csv", "LONG"]),
        (extraction, ["info", "LONG"]),
        (extraction, ["verify", "LONG"]),
        (extraction, ["run", "digits", "-o", "LONG"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_name_that_no_file_system_takes_is_told(app, words, tmp_path):
    long = str(tmp_path / ("a" * 300))
    result = CliRunner().invoke(app, [long if word == "LONG" else word for word in words])
    assert result.exit_code == 1 and isinstance(result.exception, SystemExit)
    assert_four_parts(result.output)


@pytest.mark.parametrize("option", ["--csv", "--groups-out"])
def test_outputs_of_one_name_are_refused_before_the_work(option, tmp_path):
    words = ["audit", "f.h5", "--corrections-out", str(tmp_path / "a.csv"), option, str(tmp_path / "a.csv")]
    result = CliRunner().invoke(classify, words)
    assert result.exit_code == 2 and "name one file" in result.output and not list(tmp_path.iterdir())


@pytest.mark.parametrize("words", ["audit f.h5 --groups-out -", "suggest b f.h5 -o -"])
def test_a_dash_is_no_name_of_a_file(words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(classify, words.split())
    assert result.exit_code == 2 and "writes a file" in result.output and not list(tmp_path.iterdir())
