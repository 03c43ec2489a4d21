"""The parts of a run on a Ray cluster: actors compute, this process hands out parts and decides."""

import logging
import os
import time
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from data.errors import HeadstartError
from data.sources.source import Source
from data.text import counted, one_line
from extract.backbones.keras_backend import named_backend
from extract.cluster.connect import Cluster, connected, other_versions
from extract.cluster.replica import Opened, Place, Replica, Task, versions
from extract.engines.probe import check_probe
from extract.feature_file.shards import INDEX
from extract.recipe import Probe
from extract.run.forecast import Room
from extract.run.plan import Part
from extract.run.worker import Computed, Work

if TYPE_CHECKING:
    from ray import ObjectRef
    from ray.actor import ActorHandle

ATTEMPTS = 3  # of a part, and of a replica that does not start
_SAY_EVERY = 30  # seconds between two lines about the speed
_log = logging.getLogger("headstart.ray")


def ray_map(
    make: Work,
    parts: Sequence[Part],
    replicas: int | None = None,
    *,
    source: Source,
    progress: Callable[[int], None],
    cluster: Cluster,
) -> Generator[tuple[Part, Computed | Exception], None, None]:
    """Compute parts in actors on a Ray cluster, each with one part at a time.

    A part whose actor dies, or that raises, is given to another one, three times in all; then it
    comes back with its error, and the others go on. An actor that died is replaced as soon as
    the cluster has room.

    Parameters
    ----------
    make, parts, replicas, source, progress
        As `extract.run.local.local_map` takes them; by default as many replicas as have room.
    cluster : Cluster

    Yields
    ------
    part, Computed or Exception
        What came of it, or why nothing did; in any order.

    Raises
    ------
    HeadstartError
        If the cluster cannot be joined or has no room, or a node has other versions, or does not
        see the output or the source.

    Examples
    --------
    >>> run = partial(ray_map, cluster=Cluster("10.0.0.1:6379"))  # doctest: +SKIP
    >>> extract(open_source("/shared/photos"), recipe, "/shared/photos.h5", map=run)  # doctest: +SKIP
    """
    with connected(cluster.address) as ray, _marker(make.folder) as marker:
        fitting = sum(room.replicas for room in division(ray, cluster))
        threads = cluster.threads or max(1, int(cluster.num_cpus))
        task = Task(make, source.portable(), marker, parts[0], threads, named_backend())
        driver = _Driver(ray, cluster, task, source, progress)
        yield from driver.run(parts, min(replicas or fitting, len(parts)))


def rooms(cluster: Cluster) -> tuple[Room, ...]:
    """Return for each node of a cluster how many replicas it has room for; see `division`."""
    with connected(cluster.address) as ray:
        return tuple(division(ray, cluster))


def division(ray: ModuleType, cluster: Cluster) -> list[Room]:
    """Return for each node how many replicas it has room for.

    Raises
    ------
    HeadstartError
        If there is no room for any, were all nodes idle.
    """
    nodes = [node for node in ray.nodes() if node["Alive"]]
    rooms = [
        Room(
            f"{node['NodeManagerAddress']} ({node['NodeID'][:6]})",
            int(min(node["Resources"].get(name, 0) // need for name, need in cluster.needs.items())),
        )
        for node in nodes
    ]
    if not any(room.replicas for room in rooms):
        held = (
            f"{room.node}: {node['Resources'].get('CPU', 0):g} CPU, {node['Resources'].get('GPU', 0):g} GPU"
            for room, node in zip(rooms, nodes, strict=True)
        )
        raise _no_room(cluster, "; ".join(held))
    return rooms


def _no_room(cluster: Cluster, received: str) -> HeadstartError:
    return HeadstartError(
        "the Ray cluster has no room for a replica",
        "a node with " + " and ".join(f"{need:g} {name}" for name, need in cluster.needs.items()),
        received,
        "lower --num-cpus or --num-gpus, add nodes, or wait until other jobs end",
    )


@contextmanager
def _marker(folder: Path) -> Iterator[Path]:
    """Put a file into the parts' folder, by which a node tells that it sees the same folder."""
    path = folder / f"{INDEX}.{os.getpid()}.tmp"  # named as what a sharded run leaves when it is cut
    path.touch()
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


@dataclass
class _Step:
    """What an actor is at: ``place``, ``open`` or ``compute``, and the part that it computes, or last did."""

    actor: "ActorHandle"
    part: Part
    name: str = "place"
    node: str = "a node"
    sees: bool = True


@dataclass
class _Driver:
    """Hands out parts; each actor has one call under way, and all calls are waited for together."""

    ray: ModuleType
    cluster: Cluster
    task: Task
    source: Source
    progress: Callable[[int], None]
    attempts: Counter[str] = field(default_factory=Counter)
    images: Counter[str] = field(default_factory=Counter)
    fresh: Iterator[Part] = field(default_factory=lambda: iter(()))
    again: deque[Part] = field(default_factory=deque)
    idle: list[_Step] = field(default_factory=list)
    steps: "dict[ObjectRef, _Step]" = field(default_factory=dict)
    failed_starts: int = 0
    probe: Probe | None = None

    def run(self, parts: Sequence[Part], replicas: int) -> Iterator[tuple[Part, Computed | Exception]]:
        """Yield each part once, with its result or its last error."""
        self.fresh = iter(parts)
        self.started = self.heard = self.said = time.monotonic()
        left = len(parts)
        try:
            for _ in range(replicas):
                self._start()
            while left:
                for part, result in self._next():
                    left -= 1
                    yield part, result
                self._hand_out()
        finally:
            self._say_speed()
            for actor in [step.actor for step in (*self.steps.values(), *self.idle)]:
                self.ray.kill(actor)

    def _start(self) -> None:
        needs = {"num_cpus": self.cluster.num_cpus, "num_gpus": self.cluster.num_gpus}
        options = {**needs, "max_restarts": 0, "max_task_retries": 0}
        actor = self.ray.remote(Replica).options(**options).remote()
        self.steps[actor.place.remote()] = _Step(actor, self.task.sample)

    def _next(self) -> Iterator[tuple[Part, Computed | Exception]]:
        done, _ = self.ray.wait(list(self.steps), timeout=1)
        for reference in done:
            step = self.steps.pop(reference)
            try:
                result = self.ray.get(reference)
            except self.ray.exceptions.RayError as error:
                yield from self._lost(step, error)
                continue
            yield from getattr(self, f"_after_{step.name}")(step, result)
        self._check_room()
        if time.monotonic() - self.said > _SAY_EVERY:
            self._say_speed()

    def _after_place(self, step: _Step, found: Place) -> Iterator[tuple[Part, Computed | Exception]]:
        step.node = found.node
        if found.versions != versions():
            raise other_versions(f"node {step.node}", versions(), found.versions)
        step.name = "open"
        self.steps[step.actor.open.remote(self.task)] = step
        yield from ()

    def _after_open(
        self, step: _Step, result: Opened | Exception
    ) -> Iterator[tuple[Part, Computed | Exception]]:
        if isinstance(result, HeadstartError):
            happened = f"node {step.node}: {result.happened}"
            raise HeadstartError(happened, result.expected, result.received, result.todo)
        if isinstance(result, Exception):
            self._failed_start(step, result)
            self.ray.kill(step.actor)
        else:
            self._check_alike(step.node, result.probe)
            self.failed_starts, step.sees = 0, result.sees
            self.idle.append(step)
        yield from ()

    def _check_alike(self, node: str, probe: Probe) -> None:
        """Raise if a node computes other features than the first one of this run."""
        self.probe = self.probe or replace(probe, place=f"the parts of node {node}")
        check_probe(self.task.make.recipe, replace(probe, place=f"node {node}"), self.probe)

    def _after_compute(
        self, step: _Step, result: Computed | Exception
    ) -> Iterator[tuple[Part, Computed | Exception]]:
        self.idle.append(step)
        if isinstance(result, Exception):
            yield from self._again(step.part, result)
            return
        self.images[step.node] += len(step.part.rows)
        self.progress(len(step.part.rows))
        yield step.part, result

    def _lost(self, step: _Step, error: Exception) -> Iterator[tuple[Part, Computed | Exception]]:
        """Replace an actor that died, and give its part to another one."""
        words = one_line(error)
        _log.warning("a replica on %s was lost", step.node)
        if step.name == "compute":
            self._start()
            yield from self._again(step.part, RuntimeError(f"its process died on {step.node}: {words}"))
        else:
            self._failed_start(step, RuntimeError(words))

    def _failed_start(self, step: _Step, error: Exception) -> None:
        self.failed_starts += 1
        if self.failed_starts >= ATTEMPTS:
            raise HeadstartError(
                f"replicas do not start on {step.node}",
                "Headstart installed, and memory for the backbone",
                str(error),
                "install Headstart and its extra ray on every node of the cluster, or lower --replicas",
            )
        self._start()

    def _again(self, part: Part, error: Exception) -> Iterator[tuple[Part, Computed | Exception]]:
        self.attempts[part.name] += 1
        if self.attempts[part.name] < ATTEMPTS:
            self.again.append(part)
        else:
            yield part, error

    def _hand_out(self) -> None:
        while self.idle and (part := self._waiting()):
            step = self.idle.pop()
            data = [] if step.sees else list(self.source.read(part.rows))
            step.name, step.part = "compute", part
            self.steps[step.actor.compute.remote(part, data)] = step

    def _waiting(self) -> Part | None:
        part = next(self.fresh, None)
        return self.again.popleft() if part is None and self.again else part

    def _check_room(self) -> None:
        """Raise if for some time the cluster has had no room for any replica."""
        if self.idle or any(step.name != "place" for step in self.steps.values()):
            self.heard = time.monotonic()
        elif time.monotonic() - self.heard > self.cluster.patience:
            free = self.ray.available_resources()
            held = ", ".join(f"{free.get(name, 0):g} {name}" for name in self.cluster.needs)
            raise _no_room(self.cluster, f"{held} free in all nodes for {self.cluster.patience:g} s")

    def _say_speed(self) -> None:
        self.said = time.monotonic()
        seconds, total = self.said - self.started, self.images.total()
        if total:
            speeds = "; ".join(f"{node}: {done / seconds:.1f}" for node, done in sorted(self.images.items()))
            _log.info("%s, %.1f images/s; %s", counted(total, "image"), total / seconds, speeds)
