"""Outputs: no file of the user's is lost, links are written through, a kill leaves a whole folder."""

import os
import stat
import subprocess
import sys
import time
from pathlib import Path
from threading import Thread

import pytest
from conftest import refused
from folders import below, mode, waiting_told

from data import HeadstartError
from data.errors import NotAllowedError
from data.output.atomic import half_written, written_aside
from data.output.cache import in_cache
from data.output.checks import check_file, check_folder
from data.output.disk import writing
from data.output.lock import locked
from data.output.swap import check_carried, swapped


def write(path: Path, text: str) -> None:
    with written_aside(path) as aside:
        aside.write_text(text)


class TestFiles:
    def test_a_link_is_written_through_also_where_it_dangles(self, tmp_path):
        (tmp_path / "there").write_text("old")
        for name in ("there", "not yet/there"):
            link = tmp_path / f"link to {Path(name).parts[0]}"
            link.symlink_to(name)
            (tmp_path / f"second {link.name}").symlink_to(link.name)
            write(tmp_path / f"second {link.name}", "new")
            assert link.is_symlink() and (tmp_path / name).read_text() == "new"

    def test_the_mode_stays_and_a_new_file_follows_the_umask(self, tmp_path):
        (tmp_path / "private").write_text("old")
        (tmp_path / "private").chmod(0o600)
        with written_aside(tmp_path / "private") as aside:
            aside.write_text("new")
            assert mode(aside) == 0o600
        assert mode(tmp_path / "private") == 0o600
        old = os.umask(0o027)
        try:
            write(tmp_path / "new", "new")
        finally:
            os.umask(old)
        assert mode(tmp_path / "new") == 0o640

    def test_a_device_is_never_replaced(self, tmp_path):
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(PermissionError):
            write(tmp_path / "pipe", "text")
        refused(lambda: check_file(tmp_path / "pipe", "leaderboard"), "a pipe or a device")
        assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)

    def test_only_what_a_killed_writer_left_is_half_written(self, tmp_path):
        for name in ("f.h5.host-12.tmp", "f.h5.7.tmp", "f.h5.notes.tmp", "draft.tmp", "f.h5"):
            (tmp_path / name).touch()
        assert sorted(path.name for path in half_written(tmp_path / "f.h5")) == [
            "f.h5.7.tmp",
            "f.h5.host-12.tmp",
        ]

    def test_a_lock_file_of_another_program_stays(self, tmp_path):
        (tmp_path / "poetry.lock").write_text("[[package]]")
        with pytest.raises(HeadstartError, match="no lock that Headstart wrote"), locked(tmp_path / "poetry"):
            pass
        assert (tmp_path / "poetry.lock").read_text() == "[[package]]"

    def test_an_empty_file_may_be_replaced_and_another_not(self, tmp_path):
        (tmp_path / "empty").touch()
        (tmp_path / "notes").write_text("rank,head")
        check_file(tmp_path / "empty", "leaderboard")
        check_file(tmp_path / "a/b/c", "leaderboard")
        refused(lambda: check_file(tmp_path / "notes", "leaderboard"), "no leaderboard")
        refused(lambda: check_file(tmp_path / "notes/below", "leaderboard"), "no folder")


FOREIGN = {"notes.txt": "precious", "figures/one.png": "a picture", "figures/deep/er/two.txt": "2"}


def make(folder: Path, text: str, foreign: bool = True) -> Path:
    """Write a folder of two files of ours, and foreign ones of every kind."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("one", "two"):
        (folder / name).write_text(text)
    for name, content in FOREIGN.items() if foreign else ():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    if foreign:
        (folder / "figures" / "empty").mkdir()
        (folder / "link").symlink_to("nowhere")
        os.link(folder / "notes.txt", folder / "notes again.txt")
    return folder


def swap(folder: Path, text: str) -> None:
    with swapped(folder, lambda: {"one", "two"}) as new:
        make(new, text, foreign=False)


@pytest.fixture(params=["exchange", "two renames"])
def way(request, monkeypatch):
    """Both ways to put a folder in the place of another."""
    if request.param == "two renames":
        monkeypatch.setattr("data.output.swap._exchanged", lambda one, two: False)
    return request.param


class TestFolders:
    def test_foreign_files_are_carried_as_they_are(self, way, tmp_path):
        old = make(tmp_path / "there/it", "old")
        (old / "figures/deep").chmod(0o700)
        (old / "one").chmod(0o600)
        old.chmod(0o750)
        before, number = below(old), (old / "notes.txt").stat().st_ino
        with open(old / "notes.txt", "a") as still_open:
            swap(old, "new")
            still_open.write(" and more")
        assert below(old) == before | {
            "one": "new",
            "two": "new",
            "notes.txt": "precious and more",
            "notes again.txt": "precious and more",
        }
        assert (old / "notes.txt").stat().st_ino == number
        assert [mode(old / name) for name in ("figures/deep", "one", ".")] == [0o700, 0o600, 0o750]
        assert os.listdir(tmp_path / "there") == ["it"]

    def test_where_there_are_no_hard_links_files_are_copied(self, way, tmp_path, monkeypatch):
        def cannot(*paths, **how):
            raise PermissionError(1, "no hard links here")

        old = make(tmp_path / "it", "old")
        before = below(old)
        monkeypatch.setattr(os, "link", cannot)
        swap(old, "new")
        assert below(old) == before | {"one": "new", "two": "new"}

    def test_what_is_saved_during_the_swap_is_kept(self, way, tmp_path, monkeypatch):
        import data.output.swap

        old, exchange = make(tmp_path / "it", "old"), data.output.swap._exchange

        def late(new, folder):
            (folder / "late.txt").write_text("late")
            (folder / "aside").write_text("edited")
            os.replace(folder / "aside", folder / "notes.txt")
            exchange(new, folder)

        monkeypatch.setattr(data.output.swap, "_exchange", late)
        swap(old, "new")
        assert (old / "late.txt").read_text() == "late" and (old / "one").read_text() == "new"
        assert (old / "notes.txt").read_text() == "edited"

    def test_links_are_written_through_and_folders_above_are_made(self, way, tmp_path):
        make(tmp_path / "disk/it", "old")
        (tmp_path / "it").symlink_to("disk/it")
        (tmp_path / "dangling").symlink_to("disk/new/one")
        for name in ("it", "dangling"):
            swap(tmp_path / name, "new")
            assert (tmp_path / name).is_symlink() and (tmp_path / name / "one").read_text() == "new"
        assert (tmp_path / "disk/it/notes.txt").read_text() == "precious"
        assert sorted(os.listdir(tmp_path / "disk")) == ["it", "new"]

    def test_a_failure_leaves_the_old_folder(self, way, tmp_path):
        old = make(tmp_path / "it", "old")
        before = below(tmp_path)
        with pytest.raises(ZeroDivisionError), swapped(old, lambda: {"one", "two"}) as new:
            make(new, "new", foreign=False)
            raise ZeroDivisionError
        assert below(tmp_path) == before
        with (
            pytest.raises(HeadstartError, match="is in the way"),
            swapped(old, lambda: {"one", "two"}) as new,
        ):
            (new / "notes.txt").write_text("ours by chance")
        assert below(tmp_path) == before

    def test_who_comes_second_waits_says_so_and_replaces_what_the_first_wrote(self, way, tmp_path, caplog):
        old = tmp_path / "it"
        second = Thread(target=swap_all, args=(old, "second"))
        with waiting_told() as waiting, swapped(old, lambda: []) as new:
            second.start()
            assert waiting.wait(30)
            make(new, "first", foreign=False)
        second.join(30)
        assert (old / "one").read_text() == "second"
        assert f"which is writing {old}" in caplog.text and str(os.getpid()) in caplog.text
        assert os.listdir(tmp_path) == ["it"]

    def test_a_folder_that_cannot_be_carried_is_told_before(self, tmp_path):
        with pytest.raises(OSError, match="mounted there"):
            check_carried(Path("/proc"))
        check_carried(make(tmp_path / "it", "old"))
        check_carried(tmp_path / "new")
        refused(lambda: check_folder(tmp_path / "it", "bundle"), "link, notes again.txt, ...")
        check_folder(tmp_path / "new/one", "bundle")
        (tmp_path / "empty").mkdir()
        check_folder(tmp_path / "empty", "bundle")


def swap_all(folder: Path, text: str) -> None:
    """Replace those of our two files that are there once nobody else writes."""
    with swapped(folder, lambda: [name for name in ("one", "two") if (folder / name).exists()]) as new:
        make(new, text, foreign=False)


KILLED = """
import os, signal, sys
import data.output.swap
from pathlib import Path
from folders import below
from test_data_output import make, swap
data.output.swap.sync = lambda path: None  # a kill loses nothing that is not synced; it takes the most time
folder, renames = Path(sys.argv[1]), sys.argv[2] == "renames"
if renames:
    data.output.swap._exchanged = lambda one, two: os.listdir(folder) and False  # a step more
make(folder / "it", "old")
before = below(folder / "it")
after = before | {"one": "new", "two": "new"}
seen = []
for step in range(1, 10_000):
    child = os.fork()
    if not child:
        steps = iter(range(1, 10_000))
        sys.addaudithook(lambda *event: next(steps) == step and os.kill(os.getpid(), signal.SIGKILL))
        swap(folder / "it", "new")
        os._exit(0)
    _, status = os.waitpid(child, 0)
    data.output.swap.recover(folder / "it")
    found = below(folder / "it")
    assert found in (before, after), (step, found)
    seen.append(found == after)
    swap(folder / "it", "old")
    assert below(folder) == {"it": "folder"} | {f"it/{name}": text for name, text in before.items()}, step
    if not status:
        break
print(len(seen), sum(seen))
"""


@pytest.mark.parametrize("way", ["exchange", "renames"])
def test_a_kill_at_any_step_leaves_one_of_the_two_folders_whole(way, tmp_path):
    """SIGKILL before every call by which Python touches the disk, in a process of its own each time."""
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path), way], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    steps, new = map(int, done.stdout.split())
    assert steps > 60 and 10 < new < steps - 30  # before and after the exchange


def test_an_engine_that_cannot_use_the_cache_blames_the_cache_and_not_the_output(
    tiny_recipe, tmp_path, monkeypatch
):
    from data import open_source
    from extract import extract
    from extract.engines.keras_engine import KerasEngine
    from extract.run.options import Options

    def full(self, recipe, threads):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(KerasEngine, "__init__", full)
    with pytest.raises(HeadstartError, match=r"the cache .* cannot be used") as caught:
        extract(open_source("digits"), tiny_recipe, tmp_path / "d.h5", Options(engine="keras"))
    assert "HEADSTART_CACHE" in caught.value.todo and "the disk is full" in caught.value.received
    assert not (tmp_path / "d.h5").exists()


def test_an_error_of_the_user_passes_through_what_tells_errors_of_the_system():
    ours = NotAllowedError("a", "b", "c", "d")
    for told in (writing(Path("x"), "or not"), in_cache()):
        with pytest.raises(NotAllowedError) as caught, told:
            raise ours
        assert caught.value is ours


def test_a_path_that_may_not_be_written_is_a_permission_error():
    for told in (writing(Path("x"), "or not"), in_cache()):
        with pytest.raises(PermissionError, match="what to do"), told:
            raise PermissionError(13, "Permission denied")


def test_half_written_files_of_others_are_left_while_they_may_be_written(tmp_path):
    for name, age in (("old", 90_000), ("new", 10)):
        (tmp_path / f"{name}.h5.host-1.tmp").touch()
        os.utime(tmp_path / f"{name}.h5.host-1.tmp", (time.time() - age,) * 2)
    assert [path.name for path in half_written(tmp_path / "*.h5", idle=1000)] == ["old.h5.host-1.tmp"]
    assert len(half_written(tmp_path / "*.h5")) == 2
