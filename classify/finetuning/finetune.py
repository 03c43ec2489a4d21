"""Fine-tuning: the backbone learns too, from where the trained head is; judged before and after."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import numpy as np

from classify.bundle.bundle import Bundle
from classify.bundle.folder import check_output
from classify.bundle.keras_model import check_transplant, only_feature_set
from classify.features.applied import Applied
from classify.features.corrections import Corrections
from classify.features.rows import short_digests
from classify.finetuning.images import OWN, ImageRows, Splits, choose_rows, corrected, load_rows
from classify.finetuning.options import OPTIONS, TrainingOptions
from classify.finetuning.run_state import RunState
from classify.scores.judging import lone_answer
from data.errors import HeadstartError, moved_keywords
from data.interrupt import interrupt_of
from data.output.cache import cache_folder, in_cache
from data.output.checks import check_parent
from data.output.disk import check_room, writing
from data.sources.source import Row, Source, as_source
from data.text import counted, some_of
from extract.backbones.keras_backend import need_tensorflow
from extract.backbones.kinds import need_keras_graph
from extract.backbones.weights import weights_size
from extract.feature_file.digests import digest_array
from extract.recipe import Recipe

_log = logging.getLogger("headstart.finetune")


@moved_keywords(OPTIONS)
def finetune(
    bundle: Bundle,
    source: Source,
    folder: str | Path,
    options: TrainingOptions | None = None,
    *,
    corrections: Corrections | None = None,
    splits: Splits = OWN,
    tensorboard: Path | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict:
    """Train a backbone with its head on images, and save both as a bundle.

    The head is transplanted; the weights of the epoch with the lowest loss on the validation
    rows are kept, those of the start if no epoch was better. Test rows are read at the end
    alone. A run that was killed goes on after the last epoch that it finished.

    Parameters
    ----------
    bundle : Bundle
        Of one backbone, with a head that `classify.heads.dense_layer.fold` takes, or of Keras.
    source : Source, str or Path
        Its classes are those of the bundle.
    folder : str or Path
        The new bundle; while it runs, its state is in ``FOLDER.run`` beside it.
    options : TrainingOptions, optional
    corrections : Corrections, optional
        Of the labels of the source, by the bytes of its images.
    splits : mapping of bytes to str, optional
        Of images whose source names none, by digest: those of the feature file that the head was
        trained on, as `classify.finetuning.images.splits_of` returns them; by default a hash.
    tensorboard : Path, optional
        Folder for logs.
    progress : callable, optional
        Called with the batches done and to do.

    Returns
    -------
    dict
        ``parameters``, ``frozen_digest``, ``epochs``, ``best_epoch``, ``stopped``, ``rows``,
        ``rejected``, ``corrections``, ``before`` and ``after`` as `classify.scores.evaluate.evaluate`
        returns them, ``mcnemar`` of after against before, ``verdict``, ``seconds`` and more, ready for JSON.

    Raises
    ------
    HeadstartError
        If bundle and source do not belong together, images that the head was trained on would judge
        it, a name is unknown, memory does not suffice for one image, or the folder holds the state of
        another run.
    TypeError
        If an option is given as a keyword of its own.
    KeyboardInterrupt
        With the words that say how to go on.

    Examples
    --------
    >>> bundle = Bundle.load("photos-logistic")  # doctest: +SKIP
    >>> options = TrainingOptions(unfreeze="block14")
    >>> finetune(bundle, open_source("photos/"), "photos-tuned", options)  # doctest: +SKIP
    """
    started, folder, source = time.perf_counter(), Path(folder), as_source(source)
    options = options or TrainingOptions()
    _check_first(bundle, source, folder, tensorboard)
    from classify.finetuning.judge import before_and_after, tuned_bundle
    from classify.finetuning.loops import Hooks
    from classify.finetuning.training import Run  # seconds of TensorFlow, after what needs none

    recipe, run = only_feature_set(bundle).recipe, Run(bundle, options)
    ask_room(folder, recipe.weights, options)
    labels, applied = corrected(source, corrections, splits)
    _refuse_seen(bundle, choose_rows(source, None, labels, splits))
    rows = load_rows(source, recipe, options.rows, labels, splits)
    _check_rows(bundle, rows["train"])
    warnings = _told([*_warnings(recipe, rows), *_about_corrections(bundle, applied)])
    state = RunState(folder.with_name(folder.name + ".run"), settings_of(bundle, options, rows))
    with going_on(state):
        trained = run.train(rows, state, tensorboard, Hooks(progress))
        tuned, engine = tuned_bundle(bundle, trained, rows, applied)
        scores = before_and_after(bundle, tuned, engine, rows["test"])
        tuned.save(folder)
    state.remove()
    warnings += _told(lone_answer(tuned.scores))
    told = {**asdict(options), **trained.record.to_dict(), **_rows_told(rows), "warnings": warnings, **scores}
    told |= {} if applied is None else {"corrections": applied.to_dict()}
    return {"bundle": str(folder), **told, **_outcome(told, started)}


def _check_first(bundle: Bundle, source: Source, folder: Path, tensorboard: Path | None) -> None:
    """Raise what can be known before TensorFlow is imported."""
    check_output(folder)
    need_tensorflow("fine-tuning")
    if tensorboard is not None:
        check_parent(Path(tensorboard) / "train", "--tensorboard")
    check_classes(bundle, source)
    check_transplant(bundle)
    need_keras_graph(only_feature_set(bundle).recipe.backbone, "fine-tuning")


def _rows_told(rows: dict[str, ImageRows]) -> dict:
    return {
        "rows": {split: len(found.y) for split, found in rows.items()},
        "rejected": {name: reason for found in rows.values() for name, reason in found.rejected.items()},
    }


def _outcome(told: dict, started: float) -> dict:
    from classify.finetuning.judge import verdict

    said = verdict(told["best_epoch"], told["stopped"], told.get("mcnemar"))
    return {"verdict": said, "seconds": round(time.perf_counter() - started, 1)}


@contextmanager
def going_on(state: RunState) -> Iterator[None]:
    """Say how to go on where a run is interrupted."""
    try:
        yield
    except BaseException as error:
        if not interrupt_of(error):
            raise
        done = state.finished()
        raise KeyboardInterrupt(
            f"interrupted; {counted(done, 'finished epoch')} kept in {state.folder}: "
            + ("the same command goes on from there" if done else "the same command begins anew")
        ) from None


def ask_room(folder: Path, weights: str, options: TrainingOptions) -> None:
    """Raise if the disk lacks room for what a run keeps, or our cache for the weights that come of it.

    Kept are two epochs and one that is being written, with two moments of Adam for each weight
    that trains; then the bundle.

    Raises
    ------
    HeadstartError
    """
    size = weights_size(weights)
    epoch = size * (3 if options.unfreeze == "all" else 1)
    kept = folder.with_name(f"{folder.name}.run")
    there = sum(path.stat().st_size for path in kept.rglob("*") if path.is_file())
    with writing(folder, "or choose another -o"):
        check_room(folder, 3 * epoch + size - there)
    with in_cache():
        check_room(cache_folder(), size)


def settings_of(bundle: Bundle, options: TrainingOptions, rows: dict[str, ImageRows]) -> dict:
    """Return all that decides what a run computes."""
    head = bundle.predict_proba(np.eye(1, bundle.head.n_features_in_, dtype=np.float32)).tolist()
    return {
        **asdict(options),
        "recipe": only_feature_set(bundle).recipe.key,
        "head": f"{bundle.name} {head}",
        **{f"{split} rows": found.digest for split, found in rows.items() if split != "test"},
    }


def _told(warnings: list[str]) -> list[str]:
    for warning in warnings:
        _log.warning("warning: %s", warning)
    return warnings


def _warnings(recipe: Recipe, rows: dict[str, ImageRows]) -> list[str]:
    found = []
    if recipe.quantization != "none":
        found.append(
            "the head was trained on int8 features, and the float32 backbone gives different ones: for an "
            "exact start extract again without --quantization, and train the head on that file"
        )
    rejected = sum(len(split.rejected) for split in rows.values())
    if rejected:
        found.append(f"{counted(rejected, 'image')} could not be decoded")
    return found


def _about_corrections(bundle: Bundle, applied: Applied | None) -> list[str]:
    """Return what the user should know of corrections, also where the head had some that are not given."""
    if applied is not None:
        return applied.warnings()
    trained = bundle.provenance.get("corrections")
    if trained is None:
        return []
    return [
        f"the head was trained with the corrections {trained['file']!r}, and fine-tuning learns from the "
        "source's own labels: --corrections FILE.csv"
    ]


def check_classes(bundle: Bundle, source: Source) -> None:
    """Raise if a source has other classes than a bundle."""
    ours, theirs = tuple(bundle.class_names), tuple(source.class_names)
    if ours != theirs:
        odd = [
            f"{word} {some_of(sorted(names), 10)}"
            for word, names in (("also", set(theirs) - set(ours)), ("not", set(ours) - set(theirs)))
            if names
        ]
        raise HeadstartError(
            "the source has other classes than the bundle",
            some_of(ours, 10),
            "; ".join(odd) or f"another order: {some_of(theirs, 10)}",
            "name the source that the bundle was trained on, or train a head on a file of this one",
        )


def _refuse_seen(bundle: Bundle, chosen: dict[str, list[tuple[Row, bytes]]]) -> None:
    """Raise if training rows of the head are in other splits here, and not in training too."""
    train = {digest for _, digest in chosen["train"]}
    for split in ("validation", "test"):
        digests = [digest for _, digest in chosen[split]]
        others = [digest for digest in digests if digest not in train]
        seen = int(np.isin(short_digests(digest_array(others)), bundle.seen).sum())
        if seen:
            raise HeadstartError(
                f"the head was trained on images that are in the split {split!r} here",
                "the splits by which it was trained, or the scores are too good",
                f"{counted(seen, 'image')} of {len(digests)}, known by their bytes",
                "name the feature file that it was trained on, whose splits are taken then: --splits FILE.h5",
            )


def _check_rows(bundle: Bundle, train: ImageRows) -> None:
    unseen = sorted(set(train.y.tolist()) - set(bundle.head.classes_.tolist()))
    if unseen or not len(train.y):
        names = ", ".join(bundle.class_names[label] for label in unseen)
        raise HeadstartError(
            "the source cannot train this bundle further",
            "labelled training images of the classes that its head was trained on",
            f"images of {names}" if unseen else "no training images that can be decoded",
            "train a head on a feature file of this source first: python -m classify train FILE.h5",
        )
