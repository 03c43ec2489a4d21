"""The machine and the versions that a figure belongs to."""

import os
import platform
from dataclasses import asdict, dataclass
from datetime import date
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

# What decides how fast, and by which arithmetic, a backbone runs: as the kernel names them, older ones first.
INSTRUCTION_SETS = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_bf16", "amx_int8")
PACKAGES = ("tensorflow", "keras", "openvino", "numpy", "h5py", "scikit-learn")
_CPUINFO = Path("/proc/cpuinfo")  # Linux alone has it


@dataclass(frozen=True)
class Cpu:
    """The processor of this machine.

    Attributes
    ----------
    model : str
        As the system names it; empty where it does not.
    instruction_sets : tuple of str
        Those of `INSTRUCTION_SETS` that it has; empty where the system does not say.
    """

    model: str
    instruction_sets: tuple[str, ...]


@dataclass(frozen=True)
class Machine:
    """A machine and what runs on it.

    Attributes
    ----------
    processor : str
    instruction_sets : list of str
        As `Cpu` has them.
    cores : int
        That this process may use.
    memory_gb : float
        Of the whole machine.
    python : str
        Version.
    versions : dict of str to str
        By package, of those of `PACKAGES` that are installed.
    date : str
        Today, as YYYY-MM-DD.
    """

    processor: str
    instruction_sets: list[str]
    cores: int
    memory_gb: float
    python: str
    versions: dict[str, str]
    date: str

    def to_dict(self) -> dict:
        """Return the machine as JSON-ready values."""
        return asdict(self)


@cache
def cpu() -> Cpu:
    """Return the processor of this machine; asked once.

    Examples
    --------
    >>> set(cpu().instruction_sets) <= set(INSTRUCTION_SETS)
    True
    """
    return cpu_of(_CPUINFO.read_text()) if _CPUINFO.exists() else Cpu(platform.processor(), ())


def cpu_of(cpuinfo: str) -> Cpu:
    """Return the processor that the text of ``/proc/cpuinfo`` describes.

    Examples
    --------
    >>> cpu_of("model name\\t: EPYC 9\\nflags\\t\\t: fpu amx_int8 avx2\\n")
    Cpu(model='EPYC 9', instruction_sets=('avx2', 'amx_int8'))
    """
    pairs = [line.partition(":") for line in cpuinfo.splitlines()]
    said = {name.strip(): value.strip() for name, _, value in reversed(pairs)}  # the first of equal names
    flags = said.get("flags", "").split()
    return Cpu(
        said.get("model name", platform.processor()),
        tuple(name for name in INSTRUCTION_SETS if name in flags),
    )


def cores() -> int:
    """Return how many cores this process may use.

    Examples
    --------
    >>> cores() > 0
    True
    """
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def versions() -> dict[str, str]:
    """Return the versions of the packages of `PACKAGES` that are installed; none is imported.

    Examples
    --------
    >>> set(versions()) <= set(PACKAGES)
    True
    """
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def this_machine() -> Machine:
    """Return processor and its instruction sets, cores, memory, versions and date.

    Examples
    --------
    >>> this_machine().cores > 0
    True
    """
    return Machine(
        processor=cpu().model,
        instruction_sets=list(cpu().instruction_sets),
        cores=cores(),
        memory_gb=round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9, 1),
        python=platform.python_version(),
        versions=versions(),
        date=date.today().isoformat(),
    )
