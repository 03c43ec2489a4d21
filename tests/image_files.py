"""What tests of sources share: small images on disk, and what a source says or refuses."""

import io
import os
from pathlib import Path

import numpy as np
import pytest
from conftest import assert_four_parts
from PIL import Image

from data import HeadstartError, open_source


def png(shade: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.array([[shade, 0], [90, 255]], np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def save(root: Path, *names: str | bytes) -> Path:
    """Write one small image for each name, all different; a name may hold folders."""
    for number, name in enumerate(names):
        path = root / os.fsdecode(name)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(png(number))
        except OSError:
            pytest.skip(f"this file system does not take the name {name!r}")
    return root


def refusal(text, **how) -> str:
    """Return what the user is told when `text` cannot be opened."""
    with pytest.raises(HeadstartError) as caught:
        open_source(text, **how)
    assert_four_parts(str(caught.value))
    return str(caught.value)


def labels_by_id(source) -> dict[str, str | None]:
    return {row.id: source.class_names[row.label] if row.label >= 0 else None for row in source.rows}
