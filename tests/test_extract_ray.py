"""A real cluster of two nodes on this machine: the same features, nothing lost, one message for each fault.

Each node is a `ray start --block` in a session of its own, ended by its process id.
"""

import hashlib
import json
import os
import pickle
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import pytest
from conftest import assert_four_parts, draw_images, run_command
from PIL import Image
from servers import Trouble, fill

from data import HeadstartError, open_source
from data.machine import cpu
from extract import FeatureFile, Options, Recipe, extract
from extract.cluster.connect import check_cluster, connected
from extract.cluster.replica import Replica, Task, versions
from extract.run.calibrate import quantized
from extract.run.plan import Part
from extract.run.worker import Computed, PartWorker
from extract.run.worker import Work as WorkOfParts

pytest.importorskip("ray")
ROWS = 16  # images in a part
IMAGES = 400
VNNI = {"avx_vnni", "avx512_vnni"} & set(cpu().instruction_sets)


class Poisoned(PartWorker):
    """Raises at the part with the image 000 of the first class, ends its process at that of the second."""

    def __call__(self, part):
        poison = [row.label for row in part.rows if Path(row.id).stem == "000"]
        if 0 in poison:
            raise ZeroDivisionError("poison")
        if 1 in poison:
            os._exit(1)
        return super().__call__(part)


class Mixed(PartWorker):
    """Computes without VNNI, but for the first worker of a run: as on a cluster of older and newer CPUs."""

    def __init__(self, work, source, progress):
        self._other = work.folder.parent / "other"
        try:
            (work.folder.parent / "first").touch(exist_ok=False)
        except FileExistsError:
            os.environ["ONEDNN_MAX_CPU_ISA"] = "AVX2"
        super().__init__(work, source, progress)
        if "ONEDNN_MAX_CPU_ISA" in os.environ:
            self._other.touch()

    def __call__(self, part):
        """Wait for the other node, lest one computes all parts alone."""
        deadline = time.monotonic() + 60
        while not self._other.exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        return super().__call__(part)


class Slow(PartWorker):
    """Takes its time, so that a test can come between."""

    def __call__(self, part):
        time.sleep(0.4)
        return super().__call__(part)


_DRIVE = """
import json, sys
from functools import partial
import extract.run.plan, extract.run.extract
from data import open_source
from data.console import prepare_logging
from extract import Recipe
from extract.cluster.connect import Cluster
from extract.cluster.driver import ray_map
how = json.loads(sys.argv[1])
prepare_logging()
extract.run.plan.PART_ROWS = how["rows"]
if how["worker"]:
    import test_extract_ray
    extract.run.extract.PartWorker = getattr(test_extract_ray, how["worker"])
run = partial(ray_map, cluster=Cluster(how["address"], patience=how["patience"]))
try:
    recipe = Recipe.from_json(how["recipe"])
    options = extract.run.options.Options(engine="openvino", replicas=how["replicas"], layout=how["layout"])
    report = extract.run.extract.extract(open_source(how["source"]), recipe, how["output"], options, map=run)
    print(json.dumps(report.to_dict()))
except ValueError as error:
    sys.exit(f"error: {error}")
except KeyboardInterrupt as error:
    sys.exit(f"stopped: {error}")
"""


class Nodes:
    """Processes of `ray start --block`, each in a session of its own."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.running: list[subprocess.Popen] = []
        self.port = _free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.environment = {
            **os.environ,
            "HOME": str(folder),
            "RAY_TMPDIR": str(folder),
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(16),
        }

    def start(self, *words: str) -> subprocess.Popen:
        log = self.folder / f"node{len(self.running)}.log"
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--num-cpus", "1", *words]
        command += ["--object-store-memory", "150000000", "--disable-usage-stats"]
        with open(log, "w") as file:
            process = subprocess.Popen(
                command, env=self.environment, stdout=file, stderr=file, start_new_session=True, cwd="/"
            )
        self.running.append(process)
        deadline = time.monotonic() + 60
        while "will now block" not in log.read_text():
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)
        return process

    def start_both(self) -> None:
        self.start("--head", "--port", str(self.port), "--include-dashboard", "false")
        self.start("--address", self.address)

    def stop(self) -> None:
        for process in reversed(self.running):
            process.terminate()
        for process in self.running:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            for pid in members(process):
                _kill(pid)

    def drive(self, work: "Work", output: Path, **options) -> subprocess.Popen:
        """Start a run on the cluster in a process of its own."""
        how = {"rows": ROWS, "worker": "", "replicas": None, "layout": None, "patience": 25}
        how |= {"address": self.address, "source": str(work.images), "output": str(output), **options}
        command = [sys.executable, "-c", _DRIVE, json.dumps({**how, "recipe": work.recipe.to_json()})]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(command, env=self.environment, **pipes)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def members(process: subprocess.Popen, words: str = "") -> list[int]:
    """Return the processes of a node's session whose command line has some words."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            session = os.getsid(int(entry.name))
            line = (entry / "cmdline").read_bytes().decode(errors="replace")
        except (ProcessLookupError, FileNotFoundError):
            continue
        if session == process.pid and words in line:
            found.append(int(entry.name))
    return found


def ended(process: subprocess.Popen, seconds: float = 100) -> dict:
    """Wait for a run and return its report, which alone is on stdout, and its log."""
    out, errors = process.communicate(timeout=seconds)
    assert process.returncode == 0, errors
    return {**json.loads(out), "log": errors}


def wait_for_parts(output: Path, number: int, process: subprocess.Popen) -> None:
    folder, deadline = output.with_name(output.name + ".parts"), time.monotonic() + 60
    while len(list(folder.glob("*.h5"))) < number:
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()
        time.sleep(0.02)


@pytest.fixture(scope="module")
def short():
    """A short path: Ray's sockets lie below it."""
    folder = Path(f"/tmp/hs{os.getpid()}")
    folder.mkdir()
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def nodes(short, cache):
    nodes = Nodes(short)
    try:
        nodes.start_both()
        yield nodes
    finally:
        nodes.stop()


@pytest.fixture(scope="module")
def drawn(tmp_path_factory) -> Path:
    folder = draw_images(tmp_path_factory.mktemp("ray") / "images", each=IMAGES // 2)
    (folder / "red" / "broken.png").write_bytes(b"no image")
    return folder


@dataclass(frozen=True)
class Work:
    """Images, a recipe, and the file that a run in this process makes of them."""

    images: Path
    recipe: Recipe
    local: Path

    @classmethod
    def of(cls, images: Path, recipe: Recipe) -> "Work":
        extract(open_source(images), recipe, images.parent / "local.h5", Options(engine="openvino"))
        return cls(images, recipe, images.parent / "local.h5")


@pytest.fixture(scope="module")
def small(drawn, tiny_recipe) -> Work:
    return Work.of(drawn, tiny_recipe)


@pytest.fixture(scope="module")
def real(shared, imagenet, tmp_path_factory) -> Work:
    """Xception at 150x150 pixels, of 400 photographs."""
    folder = tmp_path_factory.mktemp("ray") / "photographs"
    for name in ("cat", "dog"):
        (folder / name).mkdir(parents=True)
        photographs = sorted((shared / "photos" / "train" / name).iterdir())
        for number, path in enumerate(photographs[: IMAGES // 2]):
            shutil.copy(path, folder / name / f"{number:03d}{path.suffix}")
    return Work.of(folder, Recipe.for_backbone("xception", image_size=150))


@pytest.fixture(params=["small", pytest.param("real", marks=pytest.mark.slow)])
def work(request) -> Work:
    """The small backbone in the gate, the real one in slow tests."""
    return request.getfixturevalue(request.param)


@pytest.mark.parametrize("layout", ["single", pytest.param("sharded", marks=pytest.mark.slow)])
def test_two_nodes_make_the_file_of_a_local_run(nodes, small, tmp_path, layout):
    """Byte for byte, a broken image among the rejected rows as there."""
    report = ended(nodes.drive(small, tmp_path / "ray.h5", worker="Slow", layout=layout))
    assert (report["computed"], report["rejected"]) == (IMAGES, 1)
    assert f"{IMAGES + 1} images, " in report["log"]
    assert report["log"].strip().splitlines()[-1].count("(") == 2  # both nodes have a share
    if layout == "single":
        assert (tmp_path / "ray.h5").read_bytes() == small.local.read_bytes()
        assert [path.name for path in tmp_path.iterdir()] == ["ray.h5"]
    else:
        one, other = FeatureFile(tmp_path / "ray.h5"), FeatureFile(small.local)
        assert one.content_digest == other.content_digest
        np.testing.assert_array_equal(one.features("avg_pool")[:], other.features("avg_pool"))


@pytest.mark.slow
def test_nodes_read_an_object_store_for_themselves(object_store, small, tmp_path):
    """By their own environment; the driver asks for each image once, to hash it."""
    place = fill(object_store, "on-ray", small.images)
    nodes = Nodes(Path(mkdtemp(prefix="hs", dir="/tmp")))
    drivers, theirs = Trouble(object_store), Trouble(object_store, broken=0.02, cut=0.02)
    try:
        with drivers.running() as driver, theirs.running() as node:
            nodes.environment["AWS_ENDPOINT_URL"] = node
            nodes.start_both()
            nodes.environment["AWS_ENDPOINT_URL"] = driver
            report = ended(nodes.drive(replace(small, images=place), tmp_path / "ray.h5", worker="Slow"))
    finally:
        nodes.stop()
        shutil.rmtree(nodes.folder, ignore_errors=True)
    assert (report["computed"], report["rejected"]) == (IMAGES, 1)
    assert (tmp_path / "ray.h5").read_bytes() == small.local.read_bytes()
    assert len(drivers.images_read()) == IMAGES + 1
    assert len(theirs.images_read()) >= IMAGES + 1 and theirs.made["cut"]


@pytest.mark.slow
def test_bytes_that_only_the_driver_has_are_sent(nodes, tiny_recipe, tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (40, 24, 24, 3), dtype=np.uint8)
    np.savez(tmp_path / "a.npz", images=images, labels=np.arange(40) % 2)
    work = Work.of(tmp_path / "a.npz", tiny_recipe)
    report = ended(nodes.drive(work, tmp_path / "ray.h5"))
    assert report["computed"] == 40
    assert (tmp_path / "ray.h5").read_bytes() == work.local.read_bytes()


def test_parts_that_raise_or_kill_are_reported_and_the_rest_is_done(nodes, work, tmp_path):
    process = nodes.drive(work, tmp_path / "ray.h5", worker="Poisoned")
    _, errors = process.communicate(timeout=200)
    assert process.returncode == 1
    assert "2 parts could not be computed" in errors and "Traceback" not in errors
    assert "ZeroDivisionError: poison" in errors and "its process died on " in errors
    assert errors.count("was lost") == 3  # three attempts, each with an actor of its own
    assert not (tmp_path / "ray.h5").exists()
    report = extract(open_source(work.images), work.recipe, tmp_path / "ray.h5", Options(engine="openvino"))
    assert report.computed == 2 * ROWS
    assert (tmp_path / "ray.h5").read_bytes() == work.local.read_bytes()


@pytest.mark.skipif(not VNNI, reason="this CPU has no VNNI to forbid")
def test_nodes_whose_int8_differs_are_not_mixed(nodes, drawn, tiny_recipe, tmp_path):
    pytest.importorskip("nncf", reason="needs the extra int8")
    work = Work(drawn, quantized(tiny_recipe, open_source(drawn)), drawn.parent / "int8.h5")
    process = nodes.drive(work, tmp_path / "ray.h5", worker="Mixed")
    _, errors = process.communicate(timeout=100)
    assert process.returncode == 1, errors
    assert "computes int8 by another arithmetic than that of the parts of node " in errors
    assert_four_parts(errors[errors.index("error: ") :])
    assert not (tmp_path / "ray.h5").exists()


@pytest.mark.slow
def test_ctrl_c_ends_at_once_and_the_next_run_goes_on(nodes, small, tmp_path):
    process = nodes.drive(small, tmp_path / "ray.h5", worker="Slow")
    wait_for_parts(tmp_path / "ray.h5", 3, process)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert "stopped: interrupted; " in errors and "Traceback" not in errors
    kept = len(list((tmp_path / "ray.h5.parts").glob("*.h5")))
    report = ended(nodes.drive(small, tmp_path / "ray.h5"))
    assert report["reused_from"]["parts"] >= (kept - 1) * ROWS
    assert (tmp_path / "ray.h5").read_bytes() == small.local.read_bytes()


@pytest.mark.slow
def test_a_cluster_that_is_busy_has_no_room(nodes, small, tmp_path):
    """The first run holds both CPUs; the second gives up after its patience, not before the first."""
    first = nodes.drive(small, tmp_path / "first.h5", worker="Slow")
    wait_for_parts(tmp_path / "first.h5", 3, first)
    second = nodes.drive(small, tmp_path / "second.h5", patience=2)
    _, errors = second.communicate(timeout=30)
    assert second.returncode == 1 and "no room for a replica" in errors
    assert_four_parts(errors)
    assert ended(first)["computed"] == IMAGES


COMMAND = ("--backbone", "mobilenet", "--weights", "none", "--image-size", "32", "--runner", "ray")


@pytest.mark.parametrize(
    ("change", "options", "words"),
    [
        ({"RAY_AUTH_TOKEN": "f" * 32}, (), "another token"),
        ({"RAY_AUTH_TOKEN": ""}, (), "RAY_AUTH_MODE=token needs a token"),
        ({"RAY_AUTH_TOKEN": "", "RAY_AUTH_MODE": ""}, (), "no token"),
        ({}, ("--num-cpus", "3"), "a node with 3 CPU"),
        ({}, ("--num-gpus", "1"), "a node with 1 CPU and 1 GPU"),
    ],
    ids=["wrong token", "missing token", "token mode off", "too few CPUs", "no GPU"],
)
def test_what_a_cluster_refuses(nodes, small, tmp_path, change, options, words):
    words_of = (
        "extract",
        "run",
        small.images,
        "-o",
        tmp_path / "out.h5",
        *COMMAND,
        "--address",
        nodes.address,
    )
    started = time.monotonic()
    environment = {name: value for name, value in {**nodes.environment, **change}.items() if value}
    environment |= {name: "" for name in change if not change[name]}
    done = run_command(*words_of, *options, cwd=tmp_path, **environment)
    assert time.monotonic() - started < 30
    assert done.returncode == 1 and words in done.stderr
    assert_four_parts(done.stderr)


@pytest.mark.slow
def test_the_plan_shows_the_division(nodes, small, tmp_path):
    words = ("extract", "run", small.images, "-o", tmp_path / "out.h5", *COMMAND, "--address", nodes.address)
    done = run_command(*words, "--plan", cwd=tmp_path, **nodes.environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("1 replica") == 2 and "parts for each replica" in done.stdout


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.1:x", "127.0.0.1:1", "no.such.host.invalid:6379"])
def test_addresses_that_are_none(address):
    with pytest.raises(HeadstartError) as caught:
        check_cluster(address)
    assert_four_parts(str(caught.value))


def test_a_port_of_something_else(monkeypatch):
    monkeypatch.setattr("extract.cluster.connect._ANSWER", 3)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(HeadstartError, match="no answer of a Ray cluster") as caught:
            check_cluster(f"127.0.0.1:{other.getsockname()[1]}")
    assert_four_parts(str(caught.value))


def test_another_version_of_ray_is_named(monkeypatch):
    theirs = {"ray_version": "2.59.0", "python_version": "3.11.7"}
    answer = {"theirs": theirs, "ours": {**theirs, "ray_version": "2.60.0"}}
    monkeypatch.setattr("extract.cluster.connect._check_port", lambda address: None)
    monkeypatch.setattr("extract.cluster.connect._ask", lambda address: answer)
    with pytest.raises(HeadstartError, match=r"2\.60\.0\n +received: ray_version 2\.59\.0"):
        check_cluster("10.0.0.1:6379")


def test_ray_that_is_not_installed(monkeypatch):
    monkeypatch.setattr("extract.cluster.connect.find_spec", lambda name: None)
    with pytest.raises(HeadstartError, match=r"pip install '\.\[ray\]'"), connected(None):
        pass


@pytest.fixture
def task(tiny_recipe, images, tmp_path):
    """What a replica gets, before a node makes trouble."""
    source = open_source(images)
    row, marker = source.rows[0], tmp_path / "marker"
    marker.touch()
    digest = hashlib.sha256((images / row.id).read_bytes()).digest()
    make = WorkOfParts(PartWorker, tiny_recipe, tmp_path, engine="openvino")
    return Task(make, source, marker, Part((row,), (digest,)), 1)


def test_a_node_that_sees_all_opens(task):
    opened = Replica().open(task)
    assert opened.sees and opened.probe.features["avg_pool"].shape == (1024,)


def test_a_node_that_does_not_see_the_output_says_so(task):
    task.marker.unlink()
    assert "does not see the output" in str(Replica().open(task))


@pytest.mark.parametrize("spoil", [Path.unlink, lambda path: path.write_bytes(b"other")])
def test_a_node_that_does_not_see_the_source_says_so(task, images, spoil):
    spoil(images / task.sample.rows[0].id)
    error = Replica().open(task)
    assert isinstance(error, HeadstartError) and "does not see the source" in str(error)


def test_a_node_that_may_not_read_a_store_says_so(task, object_store, images):
    source = open_source(fill(object_store, "closed", images))
    trouble = Trouble(object_store)
    trouble.status["closed"] = 403
    with trouble.running() as address, pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", address)
        error = Replica().open(replace(task, source=source))
    assert isinstance(error, HeadstartError) and "not the right credentials" in str(error)


def test_a_csv_that_a_node_does_not_see_is_sent(task, images, tmp_path):
    name = task.sample.rows[0].id
    (images / "list.csv").write_text(f"path,label\n{name},blue\n")
    source, data = open_source(images / "list.csv"), (images / name).read_bytes()
    (images / name).unlink()
    replica = Replica()
    assert not replica.open(Task(task.make, source, task.marker, task.sample, 1)).sees
    assert replica.compute(task.sample, [data]) == Computed(images=1)


def test_dim_images_come_back_by_name_from_a_node(task, images):
    (row,) = task.sample.rows
    Image.fromarray(np.full((24, 24), 4000, np.uint16)).save(images / row.id)
    part = Part((row,), (hashlib.sha256((images / row.id).read_bytes()).digest(),))
    replica = Replica()
    assert replica.open(replace(task, sample=part)).sees
    assert pickle.loads(pickle.dumps(replica.compute(part, []))) == Computed(images=1, dim=(row.id,))


def test_other_versions_on_a_node_are_named(nodes, monkeypatch, small, tmp_path):
    other = (
        "import extract.cluster.driver as r; ours = r.versions(); r.versions = lambda: {**ours, 'keras': '9'}"
    )
    code = _DRIVE.replace("how = ", f"{other}\nhow = ")
    monkeypatch.setattr(sys.modules[__name__], "_DRIVE", code)
    process = nodes.drive(small, tmp_path / "ray.h5")
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1 and "node 1" in errors and "expected: keras 9" in errors
    assert f"received: keras {versions()['keras']}" in errors
    assert_four_parts(errors)


def kill_worker(nodes):
    _kill(members(nodes.running[1], "ray::Replica")[0])


def kill_raylet(nodes):
    _kill(members(nodes.running[1], "raylet/raylet")[0])


def kill_node(nodes):
    for pid in members(nodes.running[1]):
        _kill(pid)


@pytest.mark.slow
@pytest.mark.parametrize("harm", [kill_worker, kill_raylet, kill_node])
def test_a_run_survives(work, tmp_path, harm):
    """No node has a CPU to spare; what was finished is computed again at most once."""
    nodes = Nodes(Path(mkdtemp(prefix="hs", dir="/tmp")))
    try:
        nodes.start_both()
        process = nodes.drive(work, tmp_path / "ray.h5", worker="Slow")
        wait_for_parts(tmp_path / "ray.h5", 5, process)
        before = {path: path.stat().st_mtime_ns for path in (tmp_path / "ray.h5.parts").glob("*.h5")}
        harm(nodes)
        wait_for_parts(tmp_path / "ray.h5", 22, process)
        now = {path: path.stat().st_mtime_ns for path in before}
        assert sum(now[path] != before[path] for path in before) <= 1
        report = ended(process)
    finally:
        nodes.stop()
        shutil.rmtree(nodes.folder, ignore_errors=True)
    assert "was lost" in report["log"]
    assert report["computed"] == IMAGES
    assert (tmp_path / "ray.h5").read_bytes() == work.local.read_bytes()


@pytest.mark.slow
def test_one_machine_needs_no_cluster(small, tmp_path, short):
    """A cluster is started for the run, with a token of its own, and is gone afterwards."""
    words = ("extract", "run", small.images, "-o", tmp_path / "ray.h5", *COMMAND, "--replicas", "1", "--json")
    done = run_command(*words, cwd=tmp_path, RAY_TMPDIR=str(short), HOME=str(short), RAY_AUTH_TOKEN="")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["computed"] == IMAGES
    assert (tmp_path / "ray.h5").read_bytes() == small.local.read_bytes()


def test_options_of_a_cluster_need_the_runner(tmp_path):
    done = run_command("extract", "run", "digits", "--replicas", "2", cwd=tmp_path)
    assert done.returncode == 2 and "without --runner ray" in done.stderr
