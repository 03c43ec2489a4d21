"""Int8 backbones: calibrated on images of the source, faster than float32 can be, near it in accuracy."""

import contextlib
import hashlib
import io
import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from data.errors import HeadstartError, missing_extra
from data.images import ImageError
from data.output.cache import check_cache
from data.sources.source import Source, as_source
from extract.engines.conversion import converted_model, keep_model, kept_model, model_path
from extract.engines.engine import check_engine
from extract.engines.pipeline import decode
from extract.feature_file.reader import FeatureFile
from extract.feature_file.shards import located
from extract.model_files.core import same_signal_stack
from extract.model_files.openvino_graph import quiet_openvino, without_telemetry
from extract.recipe import Recipe, checked_recipe
from extract.run.plan import Scan
from extract.run.scan import scan_source
from extract.run.survey import OTHER_OUTPUT, refuse_other_recipe
from extract.run.worker import bytes_of

if TYPE_CHECKING:
    from types import ModuleType

    import openvino

SAMPLE = 128  # images that calibrate
_log = logging.getLogger("headstart.engines")


def quantized(
    recipe: Recipe,
    source: Source | str | Path,
    file: Path | None = None,
    scan: Scan | None = None,
    *,
    check: Callable[[Recipe], object] | None = None,
) -> Recipe:
    """Return the int8 recipe of a float32 one, calibrated on images that their digests choose.

    The quantized model is kept in our cache, since it takes half a minute to make.

    Parameters
    ----------
    recipe : Recipe
    source : Source, str or Path
        Its `SAMPLE` images with the smallest digests calibrate; their digests are part of the
        recipe's identity.
    file : Path, optional
        A feature file whose calibration is kept, so that a source may grow without becoming
        another recipe.
    scan : Scan, optional
        What the source holds, where the caller has scanned it.
    check : callable, optional
        Called with the int8 recipe before its model is made: what would refuse it refuses it there.

    Raises
    ------
    HeadstartError
        If NNCF is not installed, the file has another recipe, the source has no image that can be decoded, or
        our cache cannot be written.
    """
    source, recipe = as_source(source), checked_recipe(recipe)
    check_engine("auto", replace(recipe, quantization="int8", calibration="-"))
    known = _calibrated(recipe, file)
    if known:
        return known
    sample = list(islice(_sample(recipe, source, scan or scan_source(source)), SAMPLE))
    if not sample:
        raise HeadstartError(
            "int8 cannot be calibrated", "images that can be decoded", "none in the source", "mend the images"
        )
    digest = hashlib.sha256(b"".join(digest for digest, _ in sample)).hexdigest()
    result = replace(recipe, quantization="int8", calibration=digest)
    if check:
        check(result)
    if not kept_model(result):
        _nncf()
        check_cache()
        _log.info("calibrating int8 on %d images; this is kept in the cache", len(sample))
        keep_model(_quantize(recipe, [image for _, image in sample]), model_path(result))
    return result


def _calibrated(recipe: Recipe, file: Path | None) -> Recipe | None:
    """Return the recipe of a file, whose calibration stays, or raise if it differs in anything else."""
    if file is None or not located(file).is_file():
        return None
    found = FeatureFile(file).recipe
    int8 = replace(recipe, quantization="int8", calibration=found.calibration or "of these images")
    refuse_other_recipe(file, found, int8, OTHER_OUTPUT)
    return found


def _sample(recipe: Recipe, source: Source, scan: Scan) -> Iterator[tuple[bytes, np.ndarray]]:
    """Yield digest and pixels of different images that can be decoded, by ascending digest."""
    there = np.flatnonzero(scan.digests.known)
    order = there[np.lexsort(scan.digests.array[there].view(">u8").T[::-1])]
    before = None
    for number in order.tolist():
        digest = scan.digests.array[number].tobytes()
        for _, data in bytes_of(source, [scan.rows[number]]) if digest != before else ():
            image = decode(recipe, data)
            if not isinstance(image, ImageError):
                yield digest, image
        before = digest


def _nncf() -> "ModuleType":
    try:
        with without_telemetry(), contextlib.redirect_stdout(io.StringIO()):
            import nncf
    except ImportError as error:
        raise missing_extra("int8 needs NNCF", "int8", str(error)) from error
    logging.getLogger("nncf").setLevel(logging.ERROR)
    return nncf


def _quantize(recipe: Recipe, images: list[np.ndarray]) -> "openvino.Model":
    nncf = _nncf()
    with contextlib.redirect_stdout(io.StringIO()), same_signal_stack():  # NNCF draws progress bars there
        return nncf.quantize(
            quiet_openvino().Core().read_model(converted_model(recipe)),
            nncf.Dataset([image[np.newaxis] for image in images]),
            preset=nncf.QuantizationPreset.MIXED,
            target_device=nncf.TargetDevice.CPU,
            subset_size=len(images),
        )
