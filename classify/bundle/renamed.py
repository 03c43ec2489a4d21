"""Classes of ours in heads that version 0.1 stored, under the names that they have now."""

import json
from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

# Exactly these, and no rule over prefixes: it would decide what a stranger's file may load.
RENAMED = {
    ("classify.keras_head", "KerasHead"): "classify.heads.keras_head",
    ("classify.linear_svm", "LinearSvm"): "classify.heads.linear_svm",
    ("classify.logistic", "Logistic"): "classify.heads.logistic",
    ("classify.ridge", "RidgeHead"): "classify.heads.ridge",
}
_SCHEMA = "schema.json"  # of skops: a tree whose nodes name their classes


def stored_head(path: Path) -> bytes:
    """Return the bytes of a head as skops wrote it; nothing in them is loaded.

    Parameters
    ----------
    path : Path
    """
    found = path.read_bytes()
    with ZipFile(BytesIO(found)) as archive:
        schema = archive.read(_SCHEMA)
        if not any(f'"{module}"'.encode() in schema for module, _ in RENAMED):
            return found
        target = BytesIO()
        with ZipFile(target, "w") as copy:
            for name in archive.namelist():
                copy.writestr(name, _of_today(schema) if name == _SCHEMA else archive.read(name))
    return target.getvalue()


def _of_today(schema: bytes) -> str:
    def node(values: dict) -> dict:
        module = RENAMED.get((str(values.get("__module__")), str(values.get("__class__"))))
        return values | {"__module__": module} if module else values

    return json.dumps(json.loads(schema, object_hook=node))
