"""What made the numbers: commands, recipe, digests, versions, processor."""

import json
from collections.abc import Mapping, Sequence
from shlex import quote

from classify.bundle.bundle import Bundle
from classify.features.matrix import FeatureMatrix
from classify.head import Head
from classify.scores.temperature import calibration_text
from data import __version__
from data.machine import cpu, versions
from data.splits import SPLIT_NAMES
from data.text import shell_word
from extract.feature_file.reader import FeatureFile

Tables = Mapping[str, list[tuple[str, str]]]
_SKLEARN = {"k": "n_neighbors", "seed": "random_state"}  # what scikit-learn calls parameters of ours


def provenance(
    names: Sequence[str], bundles: Sequence[Bundle], files: Sequence[FeatureFile], features: FeatureMatrix
) -> Tables:
    """Return tables of names and values by caption.

    Parameters
    ----------
    names : sequence of str
        Paths of the bundles.
    bundles : sequence of Bundle
    files : sequence of FeatureFile
    features : FeatureMatrix
    """
    paths = [str(file.path) for file in files]
    tables = {"Commands": _commands(names, bundles, paths)}
    for name, bundle in zip(names, bundles, strict=True):
        tables[f"Head {name}"] = _head(bundle)
    for file in files:
        tables[f"Features {file.path}"] = _features(file)
    left_out = len(features.left_out)
    tables["Rows"] = [
        *((split, f"{len(features.rows(split)):,} labelled") for split in SPLIT_NAMES),
        ("without a label", f"{int((features.y < 0).sum()) - left_out:,}"),
        *([("left out by corrections", f"{left_out:,}")] if left_out else ()),
    ]
    tables["This page"] = [
        ("Headstart", __version__),
        *sorted(versions().items()),
        ("processor", cpu().model or "not told by the system"),
        ("instruction sets", ", ".join(cpu().instruction_sets) or "none of those that matter"),
    ]
    return tables


def training_command(name: str, bundle: Bundle, files: Sequence[str], *options: str) -> str:
    """Return the command that trains such a head on such files; a fine-tuned one has no such command."""
    params = [f"--param {quote(f'{key}={value}')}" for key, value in _changed(bundle).items()]
    words = [
        "python -m classify train",
        *map(shell_word, files),
        "--head",
        quote(bundle.name),
        *params,
        *options,
    ]
    return " ".join([*words, "-o", shell_word(name)])


def head_words(bundle: Bundle) -> str:
    """Return a head and its parameters that are not the usual ones, as people name it."""
    params = ", ".join(f"{key} = {value}" for key, value in _changed(bundle).items())
    return f"{bundle.name} ({params})" if params else bundle.name


def _changed(bundle: Bundle) -> dict[str, object]:
    """Return the parameters of a head, as `--param` takes them, that are not the usual ones."""
    from classify.heads.table import HEADS

    if bundle.name not in HEADS:
        return {}
    entry = HEADS[bundle.name]
    usual, given = (_params(head) for head in (entry(), bundle.head))
    names = {key: _SKLEARN.get(key, key) for key in entry.parameters}
    known = {key: name for key, name in names.items() if name in given}
    return {key: given[name] for key, name in known.items() if given[name] != usual.get(name)}


def _params(head: Head) -> dict[str, object]:
    """Return the parameters of a head, those of the steps of a pipeline under their own names."""
    if not hasattr(head, "get_params"):
        return {}
    params = {key.rpartition("__")[2]: value for key, value in head.get_params().items()}
    plain = {key: tuple(value) if isinstance(value, list) else value for key, value in params.items()}
    return {
        key: value
        for key, value in plain.items()
        if value is None or isinstance(value, bool | int | float | str | tuple | dict)
    }


def _commands(names: Sequence[str], bundles: Sequence[Bundle], files: Sequence[str]) -> list[tuple[str, str]]:
    report = " ".join(["python -m classify report", *map(quote, [*names, *files])])
    trained = [
        ("trained like", training_command(name, bundle, files))
        for name, bundle in zip(names, bundles, strict=True)
    ]
    return [*trained, ("this page", report)]


def _head(bundle: Bundle) -> list[tuple[str, str]]:
    found = bundle.provenance.get("calibration")
    return [
        ("head", bundle.name),
        *((f"parameter {key}", str(value)) for key, value in sorted(_params(bundle.head).items())),
        *((f"chosen {key}", str(value)) for key, value in bundle.provenance.get("chosen", {}).items()),
        ("temperature", calibration_text(found) if found else f"{bundle.temperature:.4g}"),
        *((f"{split} rows", f"{count:,}") for split, count in bundle.provenance.get("rows", {}).items()),
        *((f"trained with {key}", value) for key, value in bundle.provenance.get("versions", {}).items()),
        *(("digest of its features", each.content_digest) for each in bundle.feature_sets),
    ]


def _features(file: FeatureFile) -> list[tuple[str, str]]:
    contents = file.contents
    recipe = json.loads(contents.recipe.to_json())
    return [
        ("content digest", file.content_digest),
        ("rows", f"{len(contents.ids):,}"),
        ("source", json.dumps(contents.source, sort_keys=True, ensure_ascii=False)),
        ("weights", f"{contents.weights.get('name')}, {contents.weights.get('origin')}"),
        *([("licence", contents.weights["licence"])] if "licence" in contents.weights else []),
        *(("computed by", str(engine)) for engine in contents.engines),
        ("recipe key", contents.recipe.key),
        *((f"recipe {key}", json.dumps(value)) for key, value in sorted(recipe.items())),
    ]
