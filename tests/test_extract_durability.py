"""Runs that are killed, short of disk, or two at once: nothing is lost, the file never lies.

A backbone of numpy over arrays takes the place of the real one, so that a run takes a second.
"""

import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from conftest import assert_four_parts
from numpy_engine import IMAGES, PART, RECIPE, NumpyEngine, arrays, load_array, use_numpy
from typer.testing import CliRunner

from data import HeadstartError
from data.output.lock import locked
from data.sources.arrays import from_arrays
from extract import FeatureFile, Options, extract
from extract.cli import app
from extract.engines import pipeline
from extract.feature_file.diff import diff
from extract.feature_file.repair import repair
from extract.feature_file.verify import examine, verify
from extract.run import worker
from extract.run.compare import compare

_RUN = """
import json, sys, time
import numpy_engine as shared
from data.output import atomic as output
from extract import Options, extract
options = json.loads(sys.argv[2])
shared.use_numpy(options.pop("counter", None), options.pop("pause", 0))
sync, slow = output.sync, options.pop("slow_sync", 0)
output.sync = lambda path: (time.sleep(slow), sync(path))
from data.console import Commands, prepare_logging
prepare_logging()
try:
    report = extract(shared.arrays(), shared.RECIPE, sys.argv[1], Options(batch_size=shared.PART, **options))
    print(json.dumps(report.to_dict()))
except ValueError as error:
    sys.exit(f"error: {error}")
"""


def start(path, limit: int | None = None, **options) -> subprocess.Popen:
    """Start a run in a process of its own."""
    command = [sys.executable, "-c", _RUN, str(path), json.dumps(options)]
    bound = (lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))) if limit else None
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, **pipes, preexec_fn=bound, cwd=Path(path).parent)


@pytest.fixture
def path(numpy_backbone, tmp_path):
    """A finished file of the arrays."""
    extract(arrays(), RECIPE, tmp_path / "out.h5", Options(batch_size=PART))
    return tmp_path / "out.h5"


def kill_at(moment: float, path: Path, counter: Path) -> None:
    """Kill a run so many seconds after its first part began."""
    with start(path, counter=str(counter), pause=0.002, slow_sync=0.01) as process:
        deadline = time.monotonic() + 30
        while not path.with_name(path.name + ".parts").is_dir() and time.monotonic() < deadline:
            time.sleep(0.002)
        time.sleep(moment)
        process.send_signal(signal.SIGKILL)


def kill_and_resume(reference: bytes, folder: Path, moments: np.ndarray) -> list[int]:
    """Kill runs at some moments after their first part began; return finished parts at each kill."""
    folder.mkdir()
    files = [(folder / f"{number}.h5", folder / f"{number}.count") for number in range(len(moments))]
    with ThreadPoolExecutor(4) as pool:  # runs that wait, most of the time
        list(pool.map(kill_at, moments, *zip(*files, strict=True)))
    finished = []
    for number, (moment, (path, counter)) in enumerate(zip(moments, files, strict=True)):
        parts = len(list(folder.glob(f"{number}.h5.parts/*.h5")))
        complete = path.exists()
        finished.append(-1 if complete else parts)
        use_numpy(str(counter))
        report = extract(arrays(), RECIPE, path, Options(batch_size=PART))
        assert path.read_bytes() == reference, f"killed after {moment:.3f} s"
        assert report.computed == (0 if complete else IMAGES - PART * parts)
        assert counter.stat().st_size <= IMAGES + 2 * PART  # one being written, and the next
        left = {found.name for found in folder.iterdir() if found.name.startswith(f"{number}.")}
        assert left == {path.name, counter.name}
    return finished


def test_a_folder_of_parts_that_a_killed_run_left_empty_goes(path):
    before = path.read_bytes()
    folder = path.with_name(path.name + ".parts")
    folder.mkdir()
    assert extract(arrays(), RECIPE, path, Options(batch_size=PART)).computed == 0
    assert not folder.exists()
    assert path.read_bytes() == before


@pytest.mark.parametrize("kills", [30, pytest.param(200, marks=pytest.mark.slow)])
def test_killed_runs_end_with_the_same_bytes(path, tmp_path, kills):
    moments = np.random.default_rng(kills).uniform(0, 0.75, kills)
    finished = kill_and_resume(path.read_bytes(), tmp_path / "kills", moments)
    assert len(set(finished)) > 4  # the moments really differed


_ENDS = """
import sys
import numpy_engine as shared
import extract
path, layout, last, sign = sys.argv[1:]
shared.use_numpy(engine=shared.TimedEngine(int(last), int(sign)))
extract.run.plan.PART_ROWS = 64
try:
    extract.extract(shared.arrays(), shared.RECIPE, path, extract.Options(batch_size=4, layout=layout))
except KeyboardInterrupt as error:
    print(error)
"""


def ends_at(image: int, sign: int, path: Path, layout: str = "single") -> str:
    """Let a signal end a run at an image, and return what it told."""
    words = [sys.executable, "-c", _ENDS, path, layout, image, int(sign)]
    heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # a shell's background jobs ignore it
    how = {"capture_output": True, "text": True, "check": False, "preexec_fn": heard}
    done = subprocess.run(list(map(str, words)), **how)
    assert done.returncode == (0 if sign == signal.SIGINT else -sign), done.stderr
    return done.stdout


def resumed(path: Path, monkeypatch, layout: str = "single"):
    use_numpy()
    monkeypatch.setattr("extract.run.plan.PART_ROWS", 64)
    report = extract(arrays(), RECIPE, path, Options(batch_size=4, layout=layout))
    assert not path.with_name(f"{path.name}.parts").exists()
    return report


@pytest.mark.parametrize("image", [4, 12, 40, 61, 64, 68, 127])
def test_a_kill_costs_five_seconds_of_work(path, tmp_path, monkeypatch, image):
    """Ten images of the engine's clock, and the batch that was under way."""
    new = tmp_path / "new.h5"
    ends_at(image, signal.SIGKILL, new)
    report = resumed(new, monkeypatch)
    assert IMAGES - image <= report.computed <= IMAGES - image + 10 + 4
    assert report.reused_from["parts"] == IMAGES - report.computed
    assert new.read_bytes() == path.read_bytes()


@pytest.mark.parametrize("image", [4, 12, 61, 127])
def test_an_interrupt_costs_the_batch_that_was_under_way(path, tmp_path, monkeypatch, image):
    new, finished = tmp_path / "new.h5", (image - 1) // 4 * 4
    told = ends_at(image, signal.SIGINT, new)
    assert f"{finished} finished images kept" in told if finished else "nothing was finished yet" in told
    assert resumed(new, monkeypatch).computed == IMAGES - finished
    assert new.read_bytes() == path.read_bytes()


def test_shards_are_those_of_the_plan_also_after_an_interrupt(numpy_backbone, tmp_path, monkeypatch):
    told = ends_at(100, signal.SIGINT, tmp_path / "cut", "sharded")
    assert "64 finished images kept" in told
    assert resumed(tmp_path / "cut", monkeypatch, "sharded").computed == 64
    resumed(tmp_path / "whole", monkeypatch, "sharded")
    cut, whole = ({f.name: f.read_bytes() for f in (tmp_path / name).iterdir()} for name in ("cut", "whole"))
    assert cut == whole


def test_a_kill_inside_assembly_keeps_the_old_file(path, tmp_path):
    before = path.read_bytes()
    (tmp_path / "out.h5.123.tmp").write_bytes(before[:1000])  # as a killed assembly leaves it
    assert extract(arrays(), RECIPE, path).computed == 0
    more = from_arrays(arrays(2, first=9).images, ["cat", "dog"])
    extract(more, RECIPE, path, Options(batch_size=PART, allow_drop=True))
    assert sorted(found.name for found in tmp_path.iterdir()) == ["out.h5", "out.h5.before"]


def test_a_full_disk_ends_with_one_message_and_loses_nothing(path, tmp_path):
    old = path.read_bytes()
    new = tmp_path / "new.h5"
    size = len(old)
    with start(new, limit=size * 4 // 5) as process:
        told = process.stderr.read()
    assert process.returncode == 1
    assert_four_parts(told)
    assert f"{IMAGES} finished images kept" in told
    assert not new.exists()
    report = extract(arrays(), RECIPE, new, Options(batch_size=PART))
    assert (report.computed, report.reused_from["parts"]) == (0, IMAGES)
    assert new.read_bytes() == old


def test_too_small_a_disk_is_told_before_the_work(numpy_backbone, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**6, 10**6, 30_000))
    with pytest.raises(HeadstartError) as caught:
        extract(arrays(), RECIPE, tmp_path / "new.h5", Options(batch_size=PART))
    assert_four_parts(str(caught.value))
    assert "the disk is full" in str(caught.value) and "MB are free" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_is_full_at_once(tmp_path):
    with start(tmp_path / "new.h5", limit=1000) as process:
        told = process.stderr.read()
    assert process.returncode == 1
    assert_four_parts(told)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def read_only(tmp_path):
    """A folder that may not be written, for root too."""
    folder = tmp_path / "read_only"
    folder.mkdir()
    if os.geteuid():
        folder.chmod(0o555)
        yield folder
        folder.chmod(0o755)
        return
    mount = ["mount", "-t", "tmpfs", "-o", "ro,size=1m", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("root may write everywhere, and cannot mount here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_read_only_folder(numpy_backbone, read_only):
    with pytest.raises(HeadstartError) as caught:
        extract(arrays(), RECIPE, read_only / "out.h5")
    assert_four_parts(str(caught.value))
    assert "writ" in str(caught.value)


def test_two_runs_at_once_compute_each_image_once(path, tmp_path):
    new, counter = tmp_path / "new.h5", tmp_path / "count"
    options = {"counter": str(counter), "pause": 0.02}
    with start(new, **options) as first:
        while not (tmp_path / "new.h5.parts").is_dir():
            time.sleep(0.01)
        with start(new, wait=False, **options) as refused:
            told = refused.stderr.read()
        assert refused.returncode == 1
        assert_four_parts(told)
        assert f"process {first.pid}" in told
        with start(new, **options) as second:
            report = json.loads(second.stdout.read())
            assert f"waiting for process {first.pid}" in second.stderr.read()
        assert json.loads(first.stdout.read())["computed"] == IMAGES
    assert report["computed"] == 0
    assert counter.stat().st_size == IMAGES
    assert new.read_bytes() == path.read_bytes()
    assert not (tmp_path / "new.h5.lock").exists()


def test_a_lock_of_a_dead_process_is_taken_over(path, tmp_path):
    (tmp_path / "new.h5.lock").write_text(json.dumps({"pid": 2**22 + 1, "host": "gone"}))
    assert extract(arrays(), RECIPE, tmp_path / "new.h5", Options(wait=False)).computed == IMAGES
    assert not (tmp_path / "new.h5.lock").exists()


def test_a_lock_that_a_killed_run_left_goes_also_where_nothing_is_to_do(path, tmp_path):
    lock = tmp_path / "out.h5.lock"
    with locked(path):
        assert extract(arrays(), RECIPE, path).computed == 0
        assert lock.exists()
    lock.write_text('{"pid": 1, "host": "gone"}')
    assert extract(arrays(), RECIPE, path).computed == 0
    assert not lock.exists()


def test_a_reader_of_the_old_file_keeps_reading_it(path):
    features = FeatureFile(path).features("avg_pool")
    before = features.copy()
    extract(
        from_arrays(arrays(4, first=5).images, ["cat", "dog"] * 2), RECIPE, path, Options(allow_drop=True)
    )
    np.testing.assert_array_equal(features, before)
    assert len(FeatureFile(path).contents.ids) == 4


def test_rows_are_taken_from_other_files(path, tmp_path):
    report = extract(arrays(), RECIPE, tmp_path / "other.h5", Options(reuse=(path,)))
    assert (report.computed, report.reused_from["others"]) == (0, IMAGES)
    assert (tmp_path / "other.h5").read_bytes() == path.read_bytes()
    with pytest.raises(HeadstartError, match="pixel_limit"):
        extract(arrays(), replace(RECIPE, pixel_limit=5), tmp_path / "third.h5", Options(reuse=(path,)))


def test_other_features_are_not_mixed_in(path, monkeypatch):
    """As other weights or versions would make them: the probe image tells."""

    class Other(NumpyEngine):
        def _features(self, batch):
            return super()._features(batch) * 1.001

    monkeypatch.setattr(worker, "open_engine", lambda *args: Other())
    before = path.read_bytes()
    with pytest.raises(HeadstartError) as caught:
        extract(arrays(IMAGES + 2, first=3), RECIPE, path, Options(allow_drop=True))
    assert_four_parts(str(caught.value))
    assert "numpy" in str(caught.value)
    assert path.read_bytes() == before


def everything(path: Path) -> list:
    """Return all that a reader gets from a feature file."""
    file = FeatureFile(path)
    values = [file.content_digest, file.recipe, file.outputs, *map(str, vars(file.contents).values())]
    arrays = [file.digests, *file.probe.values(), *map(file.features, file.outputs), *file.checksums.values()]
    contents = [getattr(file.contents, name) for name in ("labels", "splits", "origins", "digests")]
    return [*values, *(array.tobytes() for array in [*arrays, *contents])]


def flip_bytes(path: Path, flips: int) -> int:
    """Flip bits of a file; what `examine` passes must read as before. Return how many it found."""
    data, expected = path.read_bytes(), everything(path)
    generator, damaged = np.random.default_rng(flips), path.with_name("damaged.h5")
    # half of the flips where the structure is, before the features
    offsets = [*generator.integers(0, 9000, flips // 2), *generator.integers(0, len(data), flips // 2)]
    found = 0
    for offset in offsets:
        changed = bytearray(data)
        changed[offset] ^= 1 << generator.integers(8)
        damaged.write_bytes(changed)
        if examine(damaged).sound:
            assert everything(damaged) == expected, f"byte {offset}"
        else:
            found += 1
    return found


@pytest.mark.parametrize("flips", [150, pytest.param(3000, marks=pytest.mark.slow)])
def test_verify_finds_any_byte_that_changes_what_a_reader_gets(path, flips):
    """In a process of its own: damaged HDF5 can harm the one that reads it."""
    call = f"print(t.flip_bytes(Path({str(path)!r}), {flips}))"
    code = f"from pathlib import Path; import test_extract_durability as t; {call}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > flips // 4


def test_verify_finds_truncation_at_any_length(path, tmp_path):
    data, damaged = path.read_bytes(), tmp_path / "damaged.h5"
    for length in [0, 1, 7, 8, 100, len(data) - 1, *np.random.default_rng(0).integers(0, len(data), 40)]:
        damaged.write_bytes(data[:length])
        assert not examine(damaged).sound, length


def change_feature(path: Path, row: int) -> None:
    import h5py

    with h5py.File(path, "r+") as file:
        file["features/avg_pool"][row, 3] += 1


def test_a_damaged_row_is_named_and_repaired(path, tmp_path):
    sound = path.read_bytes()
    name = FeatureFile(path).contents.ids[7]
    change_feature(path, 7)
    verdict = verify(path)
    assert (verdict.problems, verdict.damaged, verdict.damaged_ids) == ((), (7,), (name,))
    result = CliRunner().invoke(app, ["verify", str(path)])
    assert result.exit_code == 1
    assert name in result.stdout
    assert (repair(path).kept, repair(path).dropped) == (IMAGES - 1, 0)
    assert verify(path).sound
    assert extract(arrays(), RECIPE, path).computed == 1
    assert path.read_bytes() == sound


def test_damage_is_never_given_a_new_checksum(path):
    change_feature(path, 7)
    with pytest.raises(HeadstartError, match="python -m extract repair"):
        extract(arrays(IMAGES + 2, first=0), RECIPE, path)


def test_damaged_labels_cost_no_feature(path):
    import h5py

    sound = path.read_bytes()
    with h5py.File(path, "r+") as file:
        file["labels"][0] ^= 1
    assert verify(path).problems
    change_feature(path, 5)
    repaired = repair(path)
    assert (repaired.kept, repaired.dropped) == (IMAGES - 1, 1)
    report = extract(arrays(), RECIPE, path, Options(batch_size=PART))
    assert (report.computed, report.reused_from["parts"]) == (1, IMAGES - 1)
    assert path.read_bytes() == sound


def test_of_a_file_that_cannot_be_read_no_repair_is_promised(tmp_path):
    (tmp_path / "notes.h5").write_text("no HDF5")
    result = CliRunner().invoke(app, ["verify", str(tmp_path / "notes.h5")])
    assert result.exit_code == 1
    assert "extract again" in result.stdout
    assert "repair" not in result.stdout


def test_verify_gives_up_on_a_file_that_takes_too_long(path):
    assert "more than 0 s" in verify(path, seconds=0.01).problems[0]


def test_verify_compares_with_the_source(path):
    source = arrays()
    assert compare(path, source, sample=20).sound
    relabelled = from_arrays(source.images, ["dog", *["dog", "cat"] * (IMAGES // 2)][:IMAGES])
    words = "1 row with another label or split in the source, the first: 00000000"
    assert compare(path, relabelled).problems == (words,)
    grown = from_arrays(np.concatenate([source.images, source.images[:1] ^ 1]), ["cat"] * (IMAGES + 1))
    assert "1 row in the source, not in the file" in compare(path, grown).problems[0]
    source.images[5] ^= 1
    behind = compare(path, source, sample=IMAGES)
    assert behind.problems == ("1 row with other bytes in the source, the first: 00000005",)
    assert (behind.damaged, behind.remedy) == ((), "run")


def test_rows_that_come_out_otherwise_are_no_matter_of_repair(path, monkeypatch):
    """Their checksums are right: what decodes the images has changed."""
    monkeypatch.setattr(pipeline, "load_image", lambda data, size, **_: load_array(data, size) * 0.9)
    verdict = compare(path, arrays(), sample=3)
    assert (verdict.problems, verdict.damaged, verdict.remedy) == ((), (0, 63, 127), "extract")


def test_what_repair_dropped_is_missing_until_the_next_run(path):
    change_feature(path, 7)
    assert repair(path).dropped == 1
    verdict = compare(path, arrays())
    assert verdict.problems == (
        "1 row without a feature, though the source has the image, the first: 00000007",
    )
    assert verdict.remedy == "run"


def test_diff(path, tmp_path):
    assert CliRunner().invoke(app, ["diff", str(path), str(path)]).stdout == "no difference\n"
    source = arrays()
    source.images[5] ^= 1
    labels = ["dog", *["cat", "dog"] * (IMAGES // 2)][: IMAGES - 2]
    extract(from_arrays(source.images[:-2], labels), replace(RECIPE, views_seed=1), tmp_path / "other.h5")
    found = diff(path, tmp_path / "other.h5")
    assert found.recipe == {"views_seed": [0, 1]}
    assert (found.only_first, found.only_second) == (("00000126", "00000127"), ())
    assert found.other_bytes == ("00000005",)
    assert len(found.other_label) == IMAGES - 2


def links_outside(file):
    import h5py

    del file["labels"]
    file["labels"] = h5py.ExternalLink("/etc/passwd", "/labels")


def soft_links(file):
    import h5py

    del file["labels"]
    file["labels"] = h5py.SoftLink("/splits")


def named_type(file):
    del file["labels"]
    file["labels"] = np.dtype("i4")


def huge(file):
    del file["features/avg_pool"]
    file.create_dataset("features/avg_pool", (2**40, 192), "f4", chunks=(1, 192))


def virtual(file):
    import h5py

    layout = h5py.VirtualLayout((IMAGES, 192), "f4")
    layout[:] = h5py.VirtualSource("other.h5", "x", (IMAGES, 192))
    del file["features/avg_pool"]
    file.create_virtual_dataset("features/avg_pool", layout)


@pytest.mark.parametrize("spoil", [links_outside, soft_links, named_type, huge, virtual])
def test_files_from_a_stranger_open_nothing_else(path, spoil):
    import h5py

    with h5py.File(path, "r+") as file:
        spoil(file)
    with pytest.raises(HeadstartError) as caught:
        FeatureFile(path)
    assert_four_parts(str(caught.value))
    assert not verify(path).sound


def test_unchanged_files_are_not_read_again(numpy_backbone, tmp_path, monkeypatch):
    from conftest import draw_images

    from data import open_source
    from data.sources.folder import FileSource

    folder = draw_images(tmp_path / "images", each=4)
    for file in folder.rglob("*.png"):
        os.utime(file, (1, 1))
    monkeypatch.setattr(pipeline, "load_image", lambda data, size, **_: np.zeros((*size, 3), np.float32))
    read = []
    original = FileSource.read

    def counting(self, rows):
        rows = list(rows)
        read.append(len(rows))
        return original(self, rows)

    extract(open_source(folder), RECIPE, tmp_path / "out.h5")
    monkeypatch.setattr(FileSource, "read", counting)
    assert extract(open_source(folder), RECIPE, tmp_path / "out.h5").computed == 0
    assert read == [0]
    os.utime(folder / "red" / "000.png", (2, 2))
    assert extract(open_source(folder), RECIPE, tmp_path / "out.h5").computed == 0
    assert extract(open_source(folder), RECIPE, tmp_path / "out.h5", Options(rehash=True)).computed == 0
    assert read == [0, 1, 8]


def test_a_check_reads_also_what_seems_unchanged(numpy_backbone, tmp_path, monkeypatch):
    """Other pixels with equal size and time: as `cp -a` of another folder leaves them."""
    from conftest import draw_images

    from data import open_source

    folder = draw_images(tmp_path / "images", each=4)
    for file in folder.rglob("*.png"):
        file.write_bytes(file.read_bytes().ljust(4000))
        os.utime(file, (1, 1))
    monkeypatch.setattr(pipeline, "load_image", lambda data, size, **_: np.zeros((*size, 3), np.float32))
    extract(open_source(folder), RECIPE, tmp_path / "out.h5")
    words = ["verify", str(tmp_path / "out.h5"), "--source", str(folder)]
    assert "sound" in CliRunner().invoke(app, words).stdout
    for file in (folder / "red").iterdir():
        file.write_bytes(file.read_bytes()[:-1] + b"!")
        os.utime(file, (1, 1))
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 1
    assert "4 rows with other bytes in the source, the first: red/000.png" in result.stdout
    assert "repair" not in result.stdout
    assert result.stdout.splitlines()[-1].startswith("next: the command that made")
    assert extract(open_source(folder), RECIPE, tmp_path / "out.h5").computed == 4
    assert "sound" in CliRunner().invoke(app, words).stdout


@pytest.mark.parametrize("words", [["--sample", "5"], ["--data-dir", "."]])
def test_options_of_the_comparison_need_a_source(path, words):
    result = CliRunner().invoke(app, ["verify", str(path), *words])
    assert result.exit_code == 2
    assert "without --source" in result.stderr


def test_plan_writes_nothing(images, tmp_path):
    words = ["run", images, "-o", tmp_path / "out.h5", "--backbone", "mobilenet", "--image-size", "32"]
    words += ["--weights", "none", "--plan", "--json"]
    planned = json.loads(CliRunner().invoke(app, list(map(str, words))).stdout)
    assert (planned["rows"], planned["added"], planned["missing"], planned["parts"]) == (16, 16, 16, 1)
    kinds = ["present", "rejected", "unreadable", "twins", "added", "replaced"]
    assert list(planned)[:7] == ["rows", *kinds]  # keys of JSON stay as they were
    assert planned["images_per_second"] > 0
    assert planned["bytes_needed"] >= 16 * 1024 * 4
    assert sorted(found.name for found in tmp_path.iterdir()) == ["images"]
    CliRunner().invoke(app, list(map(str, words[:-2])))
    planned = json.loads(CliRunner().invoke(app, list(map(str, words))).stdout)
    assert (planned["present"], planned["missing"], planned["seconds"]) == (16, 0, None)


def test_a_check_with_another_cache_advises_what_reads_every_file(numpy_backbone, tmp_path, monkeypatch):
    """The cache of the run knows the changed file by its size and time, and would compute nothing."""
    from conftest import draw_images

    from data import open_source

    folder, path = draw_images(tmp_path / "images", each=4), tmp_path / "out.h5"
    for file in folder.rglob("*.png"):
        file.write_bytes(file.read_bytes().ljust(4000))
        os.utime(file, (1, 1))
    monkeypatch.setattr(pipeline, "load_image", lambda data, size, **_: np.zeros((*size, 3), np.float32))
    extract(open_source(folder), RECIPE, path)
    changed = folder / "red" / "000.png"
    changed.write_bytes(changed.read_bytes()[:-1] + b"!")
    os.utime(changed, (1, 1))
    with monkeypatch.context() as other:
        other.setenv("HEADSTART_CACHE", str(tmp_path / "other"))
        said = CliRunner().invoke(app, ["verify", str(path), "--source", str(folder)]).stdout
    assert "1 row with other bytes in the source" in said
    assert "next: the command that made" in said and "again with --rehash" in said
    assert extract(open_source(folder), RECIPE, path).computed == 0
    assert extract(open_source(folder), RECIPE, path, Options(rehash=True)).computed == 1
    assert compare(path, open_source(folder)).sound


def test_an_image_that_became_unreadable_stops_what_reads_it(numpy_backbone, tmp_path, monkeypatch):
    """A run that has nothing to read keeps its feature."""
    from conftest import draw_images

    from data import open_source
    from data.sources.folder import FileSource

    folder, path = draw_images(tmp_path / "images", each=4), tmp_path / "out.h5"
    for file in folder.rglob("*.png"):
        os.utime(file, (1, 1))
    monkeypatch.setattr(pipeline, "load_image", lambda data, size, **_: np.zeros((*size, 3), np.float32))
    extract(open_source(folder), RECIPE, path)
    before = path.read_bytes()
    denied = PermissionError(13, "Permission denied")
    monkeypatch.setattr(FileSource, "read", lambda self, rows: (denied for _ in rows))
    assert extract(open_source(folder), RECIPE, path).computed == 0
    for call in (
        lambda: extract(open_source(folder), RECIPE, path, Options(rehash=True)),
        lambda: compare(path, open_source(folder)),
    ):
        with pytest.raises(PermissionError, match="Permission denied") as caught:
            call()
        assert f"the source {str(folder)!r}: 8 files cannot be read" in str(caught.value)
    assert path.read_bytes() == before
    with pytest.raises(
        PermissionError, match=re.escape(f"the source {str(folder)!r}: 1 file cannot be read")
    ):
        next(worker.bytes_of(open_source(folder), open_source(folder).rows[:1]))
