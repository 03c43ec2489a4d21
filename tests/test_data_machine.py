"""The machine that a figure belongs to, as the system describes it."""

import json
from importlib.metadata import PackageNotFoundError

import pytest

from data import machine
from data.machine import Cpu, cpu_of, this_machine

CPUINFO = """processor\t: 0
vendor_id\t: GenuineIntel
model name\t: Xeon: the first
flags\t\t: fpu avx2 amx_int8 avx512f avx512_vnni
bogomips\t: 4000.00

processor\t: 1
model name\t: Xeon: the second
flags\t\t: fpu avx2
"""


def test_the_first_core_is_described_with_instruction_sets_in_the_order_of_the_table():
    expected = Cpu("Xeon: the first", ("avx2", "avx512f", "avx512_vnni", "amx_int8"))
    assert cpu_of(CPUINFO) == expected


@pytest.mark.parametrize("text", ["", "Hardware\t: BCM2711\nFeatures\t: fp asimd\n"])
def test_a_system_that_says_less_gives_no_instruction_sets(text, monkeypatch):
    monkeypatch.setattr("platform.processor", lambda: "arm")
    assert cpu_of(text) == Cpu("arm", ())


def test_packages_that_are_not_installed_have_no_version(monkeypatch):
    def version(name):
        if name == "tensorflow":
            raise PackageNotFoundError(name)
        return "1.0"

    monkeypatch.setattr(machine, "version", version)
    assert set(machine.PACKAGES) - machine.versions().keys() == {"tensorflow"}


def test_this_machine_is_ready_for_json():
    told = this_machine().to_dict()
    assert json.loads(json.dumps(told)) == told
    assert told["cores"] >= 1 and told["memory_gb"] > 0 and told["versions"]["numpy"]
