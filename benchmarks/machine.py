"""Name the machine and the versions that a figure belongs to."""

from data.machine import this_machine


def machine() -> dict:
    """Return processor and its instruction sets, cores, memory, versions and date."""
    return this_machine().to_dict()
