"""A bundle as one model file that needs no Headstart: written, read back, compared, then put in place."""

import importlib.util
import json
import logging
import shutil
import tempfile
import warnings
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from classify.bundle import openvino_file
from classify.bundle.formats import FORMATS, IN_BFLOAT16, Format
from classify.bundle.openvino_file import image_graph
from data.errors import HeadstartError, missing_extra, unknown_name
from data.images import load_image
from data.output.atomic import take_mode, target_of, written_aside
from data.output.checks import check_parent
from data.output.disk import full_told, try_room, writing
from data.output.lock import locked
from data.output.ours import CARD, card_of, exported_files, kind_of_output
from data.output.swap import check_swap, swapped
from data.resize import Resizing
from data.sources.arrays import npy_bytes
from data.text import with_type
from extract.backbones.download import file_hash
from extract.backbones.keras_backend import need_tensorflow
from extract.backbones.kinds import HUB, kind_of, need_keras_graph
from extract.engines.probe import probe_image
from extract.model_files.openvino_graph import quiet_openvino, without_telemetry
from extract.recipe import Recipe

if TYPE_CHECKING:
    import keras
    import openvino

    from classify.bundle.bundle import Bundle

TOLERANCE = 1e-4  # largest difference in probability to `predict` on the same pixels
_IMAGES = 8  # that the written file is checked with
_log = logging.getLogger("headstart.export")


@dataclass(frozen=True)
class Exported:
    """What `export` wrote, and how near to the head it is.

    Attributes
    ----------
    file, format, card : str
    class_names : list of str
    input_shape, output_shape : list of int or None
        None where any number will do.
    notes : list of str
        Where the model's features are not those that the head was trained on, and what its user has to know.
    checked_images : int
    largest_difference : float
        In probability, to `predict` on the same pixels.
    largest_difference_by_default : float or None
        Of OpenVINO and ONNX, with the options that OpenVINO has by default on this CPU.
    """

    file: str
    format: str
    card: str
    class_names: list[str]
    input_shape: list[int | None]
    output_shape: list[int | None]
    notes: list[str]
    checked_images: int
    largest_difference: float
    largest_difference_by_default: float | None = None

    def to_dict(self) -> dict:
        """Return the values ready for JSON; what was not measured is left out."""
        return {name: value for name, value in asdict(self).items() if value is not None}


def export(bundle: "Bundle", path: str | Path, format: str = "keras", *, any_size: bool = True) -> Exported:
    """Write backbone and head of a bundle as one model, from raw images to probabilities.

    The file is read again, by other code than Headstart's, before it gets its name: its probabilities
    on a few synthetic images must be those that `predict` gives for the same pixels. Class names have
    no place that every format knows: they stand in a card of JSON beside it, ``PATH.json``.

    Parameters
    ----------
    bundle : Bundle
    path : str or Path
        With the suffix of the format; what an earlier export wrote there, as its card says, is replaced.
    format : str
        A name in `FORMATS`.
    any_size : bool
        Whether the model takes images of any size and resizes them, or the recipe's size only.

    Returns
    -------
    Exported

    Raises
    ------
    HeadstartError
        If the format or suffix is wrong, a package is missing, the path is taken or cannot be written, the
        head cannot be transplanted, or the probabilities differ by more than 1e-4.
    """
    from classify.bundle.keras_model import check_transplant, image_model, only_feature_set

    path = Path(path)
    check_target(path, format)
    need_tensorflow("export")
    check_transplant(bundle, any_size=any_size)
    recipe = only_feature_set(bundle).recipe
    if format != "openvino":
        need_keras_graph(recipe.backbone, f"the format {format}")
    has_keras_graph = kind_of(recipe.backbone).graph == "keras"
    note = FORMATS[format].note if has_keras_graph else IN_BFLOAT16
    notes = [*notes_on(recipe), *filter(None, [note])]
    for note in notes:
        _log.warning("%s", note)
    model = (image_model if has_keras_graph else image_graph)(bundle, any_size=any_size)
    with writing(path, "or choose another -o"):
        above = target_of(path).parent
        above.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=above) as folder, full_told(above):
            made = Path(folder) / path.name
            try_room(Path(folder), openvino_file.size_of(model))
            _write(model, made, format)
            exported = Exported(
                file=str(path),
                format=format,
                card=str(card_of(path)),
                class_names=list(bundle.class_names),
                input_shape=openvino_file.shape_of(model.inputs[0]),
                output_shape=openvino_file.shape_of(model.outputs[0]),
                notes=notes,
                **_checked(made, FORMATS[format], bundle, any_size),
            )
            card_of(made).write_text(_card_text(exported, bundle.name, recipe, _hashes(made)), "utf-8")
            _put_in_place(made, path)
    return exported


def check_target(path: Path, format: str) -> None:
    """Raise if a model of this format cannot be written to this path.

    Raises
    ------
    HeadstartError
        If the format is unknown or needs a package that is missing, the suffix is another format's, or the
        path exists and is not what the card beside it says an export wrote.
    """
    if format not in FORMATS:
        raise unknown_name("format", format, FORMATS)
    entry = FORMATS[format]
    others = {each.suffix for each in FORMATS.values()} - {""}
    if path.suffix != entry.suffix if entry.suffix else path.suffix in others:
        raise HeadstartError(
            f"{path.name!r} is not a name for the format {format}",
            f"a name that ends in {entry.suffix}" if entry.suffix else "the name of a folder",
            path.name,
            "rename it, or choose --format " + " | ".join(FORMATS),
        )
    missing = [name for name in entry.modules if importlib.util.find_spec(name) is None]
    if missing:
        received = f"no {' and no '.join(missing)}"
        raise missing_extra(f"the format {format} needs {missing[0]}", entry.extra, received)
    _check_place(path, a_folder=not entry.suffix)


def notes_on(recipe: Recipe) -> list[str]:
    """Say where a model in float32 on decoded pixels computes other features than a recipe.

    Examples
    --------
    >>> notes_on(Recipe("xception", "00"))
    []
    >>> notes_on(Recipe("xception", "00", precision="bfloat16"))[0][:54]
    'the head was trained on features computed in bfloat16;'
    """
    notes = []
    computed = recipe.precision if recipe.quantization == "none" else recipe.quantization
    if computed != "float32":
        notes.append(
            f"the head was trained on features computed in {computed}; the exported model computes them in "
            "float32, so its probabilities differ somewhat from those of `predict`, and it is checked "
            "against float32 features"
        )
    if recipe.backbone.startswith(HUB):
        notes.append("the backbone has layers of KerasHub: who loads a .keras file imports keras_hub first")
    if recipe.decode_scale != "full":
        notes.append(
            "the head was trained on JPEGs decoded at a reduced scale; an image decoded at its full size "
            "gives the exported model slightly different pixels"
        )
    return notes


def sample_images(size: tuple[int, int]) -> np.ndarray:
    """Return the probe image and seven seeded random ones, from noise to large squares, in 0..255.

    Examples
    --------
    >>> sample_images((32, 40)).shape
    (8, 32, 40, 3)
    """
    generator = np.random.default_rng(0)
    images = [probe_image(size)]
    for power in range(_IMAGES - 1):
        side = 2**power
        cells = generator.integers(0, 256, (-(-size[0] // side), -(-size[1] // side), 3))
        images.append(cells.repeat(side, axis=0).repeat(side, axis=1)[: size[0], : size[1]])
    return np.stack(images).astype(np.float32)


def _check_place(path: Path, a_folder: bool) -> None:
    if not path.name:
        raise HeadstartError(
            f"{str(path)!r} cannot take an exported model",
            "the name of a new file or folder",
            "a folder without a name of its own",
            "choose another -o",
        )
    check_parent(path)
    card, model = card_of(path), [path, _weights_file(path)]
    as_written = exported_files(path)
    if a_folder and path.is_dir():
        check_swap(path, "exported model")
        model = []
    strange = [each for each in model if each.exists() and not as_written.get(each.name)]
    if card.exists() and kind_of_output(card) != "export card":
        strange.append(card)
    if strange:
        raise HeadstartError(
            f"{str(strange[0])!r} exists and no export wrote it",
            "a new path, or one that an export wrote, as the card beside it says",
            "a file or folder of another origin, or one that was changed since",
            "choose another -o, or move it away",
        )


def _weights_file(path: Path) -> Path:
    """Return what OpenVINO writes beside its ``.xml``; for other formats, the path itself."""
    return path.with_suffix(".bin") if path.suffix == ".xml" else path


def _hashes(made: Path) -> dict[str, str]:
    """Return the sha256 of every file of a model, by its path relative to the model's folder."""
    files = sorted(path for path in made.parent.rglob("*") if path.is_file())
    return {path.relative_to(made.parent).as_posix(): file_hash(path, "sha256") for path in files}


def _card_text(exported: Exported, head: str, recipe: Recipe, files: dict[str, str]) -> str:
    names = ("format", "class_names", "input_shape", "output_shape", "notes")
    said = {name: getattr(exported, name) for name in names}
    card = {
        "written_as": CARD,
        **said,
        "files": files,
        "input": "decoded RGB in 0..255, as float32",
        "output": "the probability of each class name, in their order",
        "head": head,
        "recipe": json.loads(recipe.to_json()),
    }
    return json.dumps(card, indent=2, ensure_ascii=False)


def _write(model: "keras.Model | openvino.Model", path: Path, format: str) -> None:
    if not hasattr(model, "count_params"):
        quiet_openvino().save_model(model, path, compress_to_fp16=False)
        openvino_file.keep_float32(path)
        return
    name = FORMATS[format].name
    if not name:
        model.save(path)
        return
    sides = (side or 1 for side in model.input_shape[1:3])
    model(np.zeros((1, *sides, 3), np.float32))  # Keras writes ONNX of models that were called once
    try:
        with full_told(path.parent), without_telemetry(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*np.object", FutureWarning)  # of Keras' patch of tf2onnx
            model.export(str(path), format=name, verbose=False)
            if name == "openvino":
                openvino_file.keep_float32(path)
    except (HeadstartError, OSError):
        raise
    except Exception as error:  # converters raise anything on what they do not know
        raise HeadstartError(
            f"this model cannot be written as {format}",
            "layers that its converter knows",
            with_type(error),
            "choose another --format",
        ) from error


def _checked(path: Path, entry: Format, bundle: "Bundle", any_size: bool) -> dict[str, Any]:
    """Compare a written model with the head on images of the recipe's size and, if it can, of another."""
    own = bundle.feature_sets[0]
    recipe = replace(own.recipe, precision="float32", quantization="none", calibration="")
    engine = replace(own, recipe=recipe, probe={}).open()
    height, width = recipe.image_size
    sizes = [recipe.image_size, (height * 3 // 2, width * 4 // 3)] if any_size else [recipe.image_size]
    readers = [read(path) for read in (entry.run, entry.by_default) if read]
    largest = [0.0] * len(readers)
    for size in sizes:
        images = sample_images(size)
        resizing = Resizing(recipe.resize)
        pixels = np.stack(
            [load_image(npy_bytes(image), recipe.image_size, resizing=resizing) for image in images]
        )
        rows = engine(pixels)
        proba = bundle.predict_proba(own.columns(rows))
        off = [float(np.abs(run(images) - proba).max()) for run in readers]
        largest = np.maximum(largest, off).tolist()  # a NaN stays
    if not largest[0] <= TOLERANCE:
        raise HeadstartError(
            "the written model disagrees with the head",
            f"probabilities within {TOLERANCE:g} of those of `predict`",
            f"a difference of {largest[0]:.3g}; nothing was kept",
            "choose another --format, or another head",
        )
    names = ("largest_difference", "largest_difference_by_default")
    return {"checked_images": _IMAGES * len(sizes), **dict(zip(names, largest, strict=False))}


def _put_in_place(made: Path, path: Path) -> None:
    """Move a model and its card to where they belong: what is there was written by an export.

    Another export is waited for, so that the card stays that of the model.
    """
    with locked(target_of(path)):
        if made.is_dir():
            _swap_folder(made, path)
        for each in sorted(made.parent.iterdir(), key=lambda each: each == card_of(made)):
            if each.is_file():
                target = path.with_name(each.name)
                with written_aside(target) as aside:
                    shutil.move(each, aside)
                    take_mode(aside, target_of(target))


def _swap_folder(made: Path, path: Path) -> None:
    def written_before() -> list[str]:
        return [name.removeprefix(f"{path.name}/") for name in exported_files(path)]

    with swapped(path, written_before) as new:
        for part in made.iterdir():
            shutil.move(part, new / part.name)
