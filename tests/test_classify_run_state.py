"""Fine-tuning that is killed, short of disk, or finds its state damaged: the same command goes on."""

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import keras
import numpy as np
import pytest
from conftest import assert_four_parts

from classify import Bundle
from classify.finetuning.finetune import finetune, going_on
from classify.finetuning.options import TrainingOptions
from classify.finetuning.run_state import RunState
from data import HeadstartError, open_source
from data.output.ours import kind_of_output

EPOCHS = 6
HOW = {"epochs": EPOCHS, "patience": EPOCHS, "batch_size": 16, "rows": 40, "learning_rate": 3e-5}
COMMAND = [word for name, value in HOW.items() for word in (f"--{name.replace('_', '-')}", str(value))]
CHILD = """
import runpy, sys, time
import keras
from conftest import small_net
from data.output import atomic as output
from extract.backbones.applications import BACKBONES, Backbone
keras.applications.SmallNet = small_net
BACKBONES["smallnet"] = Backbone("SmallNet", 32, 8, "minus_one_to_one")
sync = output.sync
output.sync = lambda path: (time.sleep(0.03), sync(path))  # so that many moments fall into a write
runpy.run_module("classify", run_name="__main__", alter_sys=True)
"""


@pytest.fixture(scope="module")
def drawn(small_file) -> Path:
    """The images of `small_file`."""
    return small_file.with_name("images")


@pytest.fixture(scope="module")
def unbroken(small_bundle, drawn, tmp_path_factory) -> dict:
    """The report of a run that nothing interrupts."""
    return tune(small_bundle, drawn, tmp_path_factory.mktemp("unbroken") / "tuned")


@pytest.fixture
def model():
    """A model whose variables are all 0, its optimizer with it."""
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2), keras.layers.Dropout(0.1, seed=1)])
    model.compile("adam", "mse")
    model.optimizer.build(model.trainable_variables)
    fill(model, 0)
    return model


def tune(bundle: Path, images: Path, folder: Path) -> dict:
    return finetune(Bundle.load(bundle), open_source(images), folder, TrainingOptions(**HOW))


def fill(model, number: int) -> None:
    for variable in (*model.variables, *model.optimizer.variables):
        variable.assign(np.full(variable.shape, number))


def filled(model) -> set[int]:
    variables = (*model.variables, *model.optimizer.variables)
    return {int(number) for variable in variables for number in np.ravel(variable)}


def recorded(folder: Path, model, losses) -> RunState:
    """Return the state of a run whose variables after epoch N are all N."""
    state = RunState(folder, {"seed": 0})
    state.begin(0.5)
    for epoch, loss in enumerate(losses):
        fill(model, epoch + 1)
        state.record(epoch, {"loss": 0.1, "val_loss": loss, "seconds": 0.0}, model)
    fill(model, 0)
    return state


def test_the_last_epochs_and_the_best_are_kept(tmp_path, model):
    state = recorded(tmp_path / "x.run", model, [0.4, 0.3, 0.6, 0.7, 0.8])
    kept = ["epoch-2.npz", "epoch-4.npz", "epoch-5.npz", "run.json"]
    assert sorted(path.name for path in state.folder.iterdir()) == kept
    assert kind_of_output(state.folder) == "run of fine-tuning"
    again = RunState(state.folder, {"seed": 0})
    assert (again.resume(model), filled(model), again.best()) == (5, {5}, 2)
    again.load(2, model)
    assert filled(model) == {2}


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 58 // 121])


def another_model(path: Path) -> None:
    np.savez(path.open("wb"), np.zeros(3, np.float32))


DAMAGES = [Path.unlink, emptied, truncated, another_model]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_an_epoch_that_cannot_be_read_is_told_and_the_one_before_taken(tmp_path, model, damage, caplog):
    state = recorded(tmp_path / "x.run", model, [0.4, 0.3, 0.2])
    damage(state.folder / "epoch-3.npz")
    again = RunState(state.folder, {"seed": 0})
    assert (again.resume(model), filled(model)) == (2, {2})
    assert "epoch 3 cannot be read" in caplog.text and "goes on after epoch 2" in caplog.text
    assert again.finished() == RunState(state.folder, {"seed": 0}).resume(model) == 2


def test_without_the_best_the_run_goes_back_before_it(tmp_path, model, caplog):
    state = recorded(tmp_path / "x.run", model, [0.4, 0.3, 0.6])
    truncated(state.folder / "epoch-2.npz")
    assert (state.resume(model), filled(model)) == (0, {0})
    assert "epoch 2 cannot be read" in caplog.text and "from the start" in caplog.text
    with pytest.raises(HeadstartError, match="weights of epoch 2 can no longer be read") as caught:
        state.load(2, model)
    assert_four_parts(str(caught.value))


def test_no_flipped_bit_passes(tmp_path, model):
    state = recorded(tmp_path / "x.run", model, [0.4, 0.3])
    path = state.folder / "epoch-2.npz"
    whole, generator = path.read_bytes(), np.random.default_rng(0)
    told = []
    for _ in range(60):
        data = bytearray(whole)
        data[generator.integers(len(data))] ^= 1 << int(generator.integers(8))
        path.write_bytes(data)
        fill(model, 0)
        told.append(state.resume(model))
        assert filled(model) == {told[-1]}
        state = recorded(tmp_path / "x.run", model, [0.4, 0.3])
    assert told.count(1) > 20


@pytest.mark.parametrize("text", ["", "[]", "{", '{"settings": {}, "start": 1}', '{"format_version": 9}'])
def test_a_damaged_journal_is_named(tmp_path, text):
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(HeadstartError, match=r"run\.json") as caught:
        RunState(tmp_path, {})
    assert_four_parts(str(caught.value))


def test_what_a_kill_left_half_written_is_no_other_file(tmp_path, model):
    folder = tmp_path / "x.run"
    folder.mkdir()
    for name in ("run.json.host-1.tmp", "epoch-1.npz.host-1.tmp"):
        (folder / name).write_bytes(b"half")
    state = recorded(folder, model, [0.4])
    assert sorted(path.name for path in folder.iterdir()) == ["epoch-1.npz", "run.json"]
    (folder / "notes.txt").write_text("mine")
    state.remove()
    assert [path.name for path in folder.iterdir()] == ["notes.txt"]


def test_a_state_that_cannot_be_written_says_so(small_bundle, drawn, tmp_path, monkeypatch, unbroken):
    whole = np.savez

    def full(file, *tensors, **named):
        if Path(file.name).name.startswith("epoch-3"):
            file.write(b"half of it")
            raise OSError(28, "No space left on device")
        whole(file, *tensors, **named)  # digests of the source, too

    with monkeypatch.context() as patched:
        patched.setattr(np, "savez", full)
        with pytest.raises(HeadstartError, match="No space left on device") as caught:
            tune(small_bundle, drawn, tmp_path / "tuned")
    assert_four_parts(str(caught.value))
    assert sorted(path.name for path in (tmp_path / "tuned.run").iterdir()) == [
        "epoch-1.npz",
        "epoch-2.npz",
        "run.json",
    ]
    assert_same(tune(small_bundle, drawn, tmp_path / "tuned"), unbroken)


def assert_same(report: dict, unbroken: dict) -> None:
    """Compare the numbers of two runs, up to the order of the device's sums."""
    for name in ("loss", "val_loss"):
        found, expected = ([epoch[name] for epoch in each["history"]] for each in (report, unbroken))
        np.testing.assert_allclose(found, expected, rtol=1e-4)
    for name in ("best_epoch", "stopped", "verdict"):
        assert report[name] == unbroken[name]
    found, expected = (each["after"]["log_loss"]["value"] for each in (report, unbroken))
    assert found == pytest.approx(expected, rel=1e-4)


def test_an_interrupt_that_an_import_turned_into_an_error_is_one(tmp_path, model):
    state = recorded(tmp_path / "x.run", model, [0.4])
    with pytest.raises(KeyboardInterrupt, match="1 finished epoch kept"), going_on(state):
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt as cause:
            raise ImportError("initialization failed") from cause
    with pytest.raises(ImportError, match="no such module"), going_on(state):
        raise ImportError("no such module")


@pytest.mark.parametrize("kills", [2, pytest.param(30, marks=pytest.mark.slow)])
def test_killed_runs_go_on_and_are_told_true(small_bundle, drawn, tmp_path, unbroken, caplog, kills):
    """Moments in every epoch, while one is written, and while the result is judged and saved."""
    caplog.set_level("INFO", "headstart.finetune")
    generator, seen = np.random.default_rng(kills), []
    for number in range(kills):
        sign = (signal.SIGINT, signal.SIGKILL)[number % 2]
        after, pause = (number * 4 + 1) % (EPOCHS + 1), generator.uniform(0, 0.4)
        code, told, noted = killed(small_bundle, drawn, tmp_path / "tuned", sign, after, pause)
        assert noted is None or code == (130 if sign == signal.SIGINT else -signal.SIGKILL), told
        assert "Traceback" not in told
        if code == 130 and noted is not None and "without more ado" not in told:
            kept = re.search(r"(\d+) finished epochs? kept", told)
            assert kept and int(kept[1]) == noted, told
            assert ("goes on from there" if noted else "begins anew") in told
        caplog.clear()
        assert_same(tune(small_bundle, drawn, tmp_path / "tuned"), unbroken)
        ours = [record.message for record in caplog.records if record.name == "headstart.finetune"]
        said = [message.split(" ")[0] for message in ours]
        assert said == ["epoch"] * (EPOCHS - (noted or 0))
        assert [path.name for path in tmp_path.iterdir()] == ["tuned"]
        shutil.rmtree(tmp_path / "tuned")
        seen.append(noted)
    assert len(set(seen)) >= min(kills, 5), seen  # the moments really differed


def killed(bundle: Path, images: Path, folder: Path, sign: int, after: int, pause: float):
    """Run the command, and send a signal so many seconds after an epoch.

    Returns
    -------
    code : int
    told : str
        Its stderr.
    noted : int or None
        Finished epochs that the folder holds; None where the run was done.
    """
    command = [sys.executable, "-c", CHILD, "finetune", str(bundle), str(images), "-o", str(folder), *COMMAND]
    state = folder.with_name(folder.name + ".run")
    heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # background jobs ignore it
    how = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True, "preexec_fn": heard}
    with subprocess.Popen(command, **how) as process:
        while epochs_in(state) < after and process.poll() is None:
            time.sleep(0.005)
        time.sleep(pause)
        process.send_signal(sign)
        told = process.communicate(timeout=120)[1]
    return process.returncode, told, epochs_in(state) if state.exists() else None


def epochs_in(state: Path) -> int:
    """Return how many epochs a run has noted; -1 before it notes anything."""
    try:
        return len(json.loads((state / "run.json").read_text())["epochs"])
    except FileNotFoundError:
        return -1
