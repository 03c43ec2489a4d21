"""Heads that version 0.1 stored: exactly four names of ours are read as those of today."""

import json
from zipfile import ZipFile

import pytest
from conftest import refused
from skops.io import dump, get_untrusted_types

from classify.bundle.folder import load_head
from classify.bundle.renamed import RENAMED, stored_head
from classify.heads.ridge import RidgeHead


def _renamed(path, module, name):
    """Write a fitted head as a file that names another class."""
    import numpy as np

    dump(RidgeHead().fit(np.eye(4), [0, 1, 0, 1]), path)
    with ZipFile(path) as archive:
        parts = {each: archive.read(each) for each in archive.namelist()}
    old = json.dumps("classify.heads.ridge").encode()
    schema = parts["schema.json"].replace(old, json.dumps(module).encode())
    parts["schema.json"] = schema.replace(b'"RidgeHead"', json.dumps(name).encode())
    with ZipFile(path, "w") as archive:
        for each, content in parts.items():
            archive.writestr(each, content)
    return path


def test_a_head_under_its_old_name_is_read(tmp_path):
    path = _renamed(tmp_path / "head.skops", "classify.ridge", "RidgeHead")
    assert get_untrusted_types(data=stored_head(path)) == ["classify.heads.ridge.RidgeHead"]
    assert type(load_head(tmp_path, {"file": "head.skops"})) is RidgeHead


@pytest.mark.parametrize(
    ("module", "name"),
    [("classify.ridge", "ALPHAS"), ("classify.ridge2", "RidgeHead"), ("classify.saved", "read_bundle")],
)
def test_no_other_name_becomes_one_of_ours(module, name, tmp_path):
    path = _renamed(tmp_path / "head.skops", module, name)
    assert stored_head(path) == path.read_bytes() or b"classify.heads" not in stored_head(path)
    refused(lambda: load_head(tmp_path, {"file": "head.skops"}), f"{module}.{name}")


def test_each_of_the_four_leads_to_a_class():
    from importlib import import_module

    for (_, name), module in RENAMED.items():
        assert isinstance(getattr(import_module(module), name), type)
