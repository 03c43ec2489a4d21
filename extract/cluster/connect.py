"""Reach a Ray cluster, or start one on this machine, and say in one message why that cannot be done."""

import json
import os
import secrets
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from data.errors import HeadstartError, UsageError, missing_extra
from data.text import one_line
from extract.engines.engine import available_threads
from extract.siblings import only_installed

if TYPE_CHECKING:
    from ray.job_config import JobConfig

_CONNECT, _ANSWER = 5, 15  # seconds for a connection, and for an answer to it
_OBJECT_STORE = 200 * 2**20  # bytes of shared memory of a cluster on this machine
_ASK = """
import json, platform, sys
from ray import __version__
from ray.exceptions import AuthenticationError
from ray._raylet import GcsClient
try:
    found = GcsClient(address=sys.argv[1]).internal_kv_get(b"CLUSTER_METADATA", b"cluster", timeout=10)
    ours = {"ray_version": __version__, "python_version": platform.python_version()}
    print(json.dumps({"theirs": json.loads(found), "ours": ours}))
except AuthenticationError:
    print(json.dumps({"refused": True}))
"""


@dataclass(frozen=True)
class Cluster:
    """Which cluster computes, and what each replica takes of it.

    Attributes
    ----------
    address : str or None
        ``HOST:PORT`` of its head; None starts one on this machine for the time of the run.
    num_cpus, num_gpus : float
        That the cluster reserves for each replica.
    threads : int or None
        Of the CPU in each replica; None is `num_cpus`.
    patience : float
        Seconds after which a run gives up where the cluster has no room for any replica.
    """

    address: str | None = None
    num_cpus: float = 1
    num_gpus: float = 0
    threads: int | None = None
    patience: float = 25

    @property
    def needs(self) -> dict[str, float]:
        """What a replica takes, by Ray's names."""
        return {"CPU": self.num_cpus} | ({"GPU": self.num_gpus} if self.num_gpus else {})


@contextmanager
def connected(address: str | None) -> Iterator[ModuleType]:
    """Yield the module `ray`, connected; leave the cluster at the end, whatever happens.

    Meanwhile what is printed goes to stderr, since Ray prints the death of a worker to stdout,
    where a command's result belongs.

    Parameters
    ----------
    address : str or None
        As `Cluster` takes it. A cluster on this machine gets a token of its own.

    Raises
    ------
    HeadstartError
        If Ray is not installed, the address is wrong or does not answer, the token is wrong or
        missing, or the cluster runs another version of Ray or Python.
    """
    if find_spec("ray") is None:
        raise missing_extra("--runner ray needs Ray", "ray", "no package ray")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    _choose_token(address)
    if address:
        check_cluster(address)
    import ray

    mine = {"num_cpus": available_threads(), "object_store_memory": _OBJECT_STORE, "include_dashboard": False}
    options = {"address": address} if address else {"address": "local", **mine}
    with redirect_stdout(sys.stderr):
        try:
            ray.init(**options, job_config=_job(ray), log_to_driver=False, logging_level="ERROR")
            yield ray
        except (ConnectionError, ray.exceptions.AuthenticationError) as error:
            raise _unreachable(address or "this machine", one_line(error)) from error
        finally:
            ray.shutdown()


def _job(ray: ModuleType) -> "JobConfig":
    """Describe our job to Ray, whose workers look first in the working folder, where a data.py may lie."""
    job = ray.job_config.JobConfig()
    if only_installed():  # said as of a job with a folder of its own, since Ray has no public word
        job._runtime_env_has_working_dir = lambda: True
    return job


def check_cluster(address: str) -> None:
    """Raise if a cluster cannot be joined; within 20 seconds, where Ray itself takes two minutes.

    Parameters
    ----------
    address : str
        ``HOST:PORT``.

    Raises
    ------
    HeadstartError
    """
    _check_port(address)
    answer = _ask(address)
    if "refused" in answer:
        raise HeadstartError(
            f"the Ray cluster at {address} refused the token",
            "the token that `ray start` had on the cluster's nodes, and RAY_AUTH_MODE=token",
            f"RAY_AUTH_MODE={os.environ.get('RAY_AUTH_MODE', '')}, "
            + ("another token" if _has_token() else "no token"),
            "set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH as on the nodes",
        )
    theirs, ours = ({name: found[name] for name in _VERSIONS} for found in (answer["theirs"], answer["ours"]))
    if theirs != ours:
        raise other_versions(f"the Ray cluster at {address}", ours, theirs)


_VERSIONS = ("ray_version", "python_version")


def other_versions(where: str, ours: dict, theirs: dict) -> HeadstartError:
    """Make the error for a node that would compute with other versions than this process.

    Parameters
    ----------
    where : str
    ours, theirs : dict of str to str
        Versions by name.

    Examples
    --------
    >>> print(other_versions("node 10.0.0.2", {"keras": "3.15"}, {"keras": "3.14"}))
    node 10.0.0.2 has other versions than this machine
      expected: keras 3.15
      received: keras 3.14
      what to do: install the same versions on every node
    """
    different = [name for name in ours if ours[name] != theirs.get(name)]
    return HeadstartError(
        f"{where} has other versions than this machine",
        ", ".join(f"{name} {ours[name]}" for name in different),
        ", ".join(f"{name} {theirs.get(name)}" for name in different),
        "install the same versions on every node",
    )


def _check_port(address: str) -> None:
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise UsageError("--address is not an address", "HOST:PORT, as 10.0.0.1:6379", address, "correct it")
    try:
        socket.create_connection((host, int(port)), timeout=_CONNECT).close()
    except (OSError, OverflowError) as error:
        raise _unreachable(address, str(error)) from error


def _ask(address: str) -> dict:
    """Ask a cluster for its versions in a child process, since Ray's own waiting cannot be cut short."""
    command = [sys.executable, "-P", "-c", _ASK, address]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_ANSWER, check=False)
        return json.loads(done.stdout)
    except subprocess.TimeoutExpired as error:
        raise _unreachable(address, f"no answer of a Ray cluster within {_ANSWER} s") from error
    except ValueError as error:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise _unreachable(address, last[:300]) from error


def _unreachable(address: str, received: str) -> HeadstartError:
    return HeadstartError(
        f"there is no Ray cluster at {address}",
        "the HOST:PORT that `ray start --head` showed, and a node of the cluster on this machine",
        received,
        "check --address, and that `ray start --address=HOST:PORT` runs here",
    )


def _choose_token(address: str | None) -> None:
    """Use a token where there is one; a cluster of our own gets one, since its ports are open to all."""
    if address is None:
        os.environ["RAY_AUTH_MODE"] = "token"
        if not _has_token():
            os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
    elif _has_token():
        os.environ.setdefault("RAY_AUTH_MODE", "token")
    elif os.environ.get("RAY_AUTH_MODE") == "token":
        raise HeadstartError(
            "RAY_AUTH_MODE=token needs a token",
            "RAY_AUTH_TOKEN, RAY_AUTH_TOKEN_PATH or ~/.ray/auth_token",
            "none of them",
            "set the token that `ray start` had on the cluster's nodes",
        )


def _has_token() -> bool:
    path = os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token"
    return bool(os.environ.get("RAY_AUTH_TOKEN")) or Path(path).is_file()
