"""What tests of reports share: a small feature file with its images, hostile names, and findings on it."""

import hashlib
import io
from pathlib import Path

import numpy as np
from PIL import Image

from classify import HEADS, Bundle, load_features
from classify.audit.findings import Finding
from extract import Recipe
from extract.feature_file.contents import Contents, Rejected
from extract.feature_file.part import PartFile, write_part
from extract.feature_file.writer import write_feature_file
from extract.recipe import EngineInfo

HOSTILE = "</script><img src=x onerror=alert(1)>"
NAMES = (HOSTILE, "=cmd|' /C calc'!A1", "cow\u202ewoc")
ROWS = 90


def picture(row: int, exif: bytes = b"") -> bytes:
    """Draw an image of its own, as JPEG."""
    noise = np.random.default_rng(row).integers(0, 90, (40, 50 + row % 7, 3), dtype=np.uint8)
    noise[..., row % 3] += 150
    stream = io.BytesIO()
    Image.fromarray(noise).save(stream, "jpeg", quality=90, exif=exif)
    return stream.getvalue()


def write_hostile(folder: Path, classes: int = 2, shift: float = 1.2) -> Path:
    """Write a feature file of 90 rows in classes of hostile names, and their images beside it.

    The first row, in training, has a wrong label, and its features are those of the fifth, a test row.
    """
    images, generator = folder / "images", np.random.default_rng(0)
    for name in ("a", "b"):
        (images / name).mkdir(parents=True)
    labels = np.arange(ROWS, dtype=np.int32) % classes
    X = generator.normal(size=(ROWS, 6)).astype(np.float32)
    X[np.arange(ROWS), labels] += shift
    X[4] = X[0]
    splits = np.array([0, 0, 0, 1, 2] * (ROWS // 5), np.int8)
    labels[0] = (labels[0] + 1) % classes
    ids = [f"{row:03d}.jpg" for row in range(ROWS)]
    ids[1] = "001 " + "long " * 60 + ".jpg"
    ids[2] = "002 <b>&amp;\u2028.jpg"
    encoded = [picture(row, b"Exif\0\0secret place") for row in range(ROWS)]
    for row, data in enumerate(encoded):
        (images / "ab"[row % 2] / f"moved {row}.jpg").write_bytes(data)
    recipe, probe = Recipe("xception", weights="00"), (np.zeros(6),)
    digests = [hashlib.sha256(data).digest() for data in encoded]
    rows = {digest: (row,) for digest, row in zip(digests, X, strict=True)}
    write_part(folder / "part.h5", recipe, EngineInfo("none"), probe, rows, {})
    contents = Contents(
        recipe=recipe,
        source={"kind": "drawn"},
        weights={"name": "none", "origin": "drawn"},
        class_names=NAMES[:classes],
        engines=(EngineInfo("none"),),
        ids=tuple(ids),
        digests=np.frombuffer(b"".join(digests), np.uint8).reshape(-1, 32),
        labels=labels,
        splits=splits,
        origins=np.zeros(ROWS, np.uint8),
        rejected=(Rejected(f"broken {HOSTILE}.jpg", bytes(32), f"reason {HOSTILE}"),),
    )
    part = PartFile(folder / "part.h5")
    write_feature_file(folder / "hostile.h5", contents, [(part, row) for row in range(ROWS)])
    return folder / "hostile.h5"


def train(file: Path, name: str = "logistic") -> Path:
    """Save a head on the file as a bundle beside it."""
    features, folder = load_features(file), file.with_name(f"{file.stem}-{name}")
    Bundle.of(HEADS[name]().fit(*features.training_rows()), features, name).save(folder)
    return folder


def finding(features, kind: str, row: int, *beside: int, suggested: str = "") -> Finding:
    """Make a finding about a row, with others as evidence."""
    digests = [features.digests[each].tobytes().hex() for each in (row, *beside)]
    return Finding(
        kind,
        0.9,
        f"because {HOSTILE}",
        digests[0],
        features.ids[row],
        features.class_names[features.y[row]],
        suggested,
        tuple(digests[1:]),
    )
