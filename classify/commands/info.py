"""The command python -m classify info."""

from classify.commands.options import AsJson, BundleFolder, corrections_lines
from classify.scores.intervals import SCORES, score_text
from classify.scores.temperature import calibration_text
from data.console import show
from data.names import shortened, table_lines
from data.text import counted
from extract.commands.file import class_lines, engine_lines, recipe_lines

_VALUE = 60  # cells of a terminal that the value of a parameter takes


def info(bundle: BundleFolder, as_json: AsJson = False) -> None:
    """Show what a bundle is: head, recipe, rows, scores, corrections, versions; no new score is computed.

    Example: python -m classify info photos-logistic
    """
    from classify.summary import summary

    show(summary(bundle), bundle_lines, as_json)


def bundle_lines(values: dict) -> list[str]:
    """Lay out `classify.summary.summary` for people."""
    classes, size = counted(len(values["class_names"]), "class"), f"{values['bytes'] / 1e6:.1f} MB"
    return [
        f"{shortened(values['bundle'], _VALUE)}: {values['head']} of {classes}, {size}",
        *(f"  {name:<18}{shortened(str(value), _VALUE)}" for name, value in values["parameters"].items()),
        *(f"  {f'chosen {name}':<18}{value}" for name, value in values["chosen"].items()),
        f"  {'temperature':<18}{_temperature(values)}",
        *(line for each in values["feature_sets"] for line in _feature_lines(each)),
        *class_lines(values["class_names"], values["rows_by_split"]),
        *_score_lines(values["scores"]),
        "splits    " + ", ".join(f"{name} {count}" for name, count in values["rows"].items()),
        *corrections_lines(values),
        f"detector  {_detector(values['detector'])}",
        *([f"coverage  by {values['conformal']}"] if values["conformal"] else []),
        "versions",
        *(f"  {name:<18}{version}" for name, version in values["versions"].items()),
    ]


def _temperature(values: dict) -> str:
    found, temperature = values["calibration"], values["temperature"]
    if found is None:
        return "1, not calibrated" if temperature == 1 else f"{temperature:.4f}"
    return calibration_text(found)


def _detector(values: dict | None) -> str:
    if values is None:
        return "none: predict --abstain cannot tell what is unlike the training images"
    return f"of {values['training_rows']} training and {values['validation_rows']} validation rows"


def _feature_lines(values: dict) -> list[str]:
    digest = values["content_digest"]
    return [
        *recipe_lines(values),
        *engine_lines(values["engine"]),
        *(
            f"feature   {layer} ({width})"
            for layer, width in zip(values["layers"], values["widths"], strict=True)
        ),
        f"file      {digest[:16] if digest else 'none: the backbone was fine-tuned'}",
    ]


def _score_lines(scores: dict[str, dict]) -> list[str]:
    """Lay out the scores of splits side by side."""
    names = [name for name in SCORES if any(name in report for report in scores.values())]
    rows = [
        (f"  {name:<16}", *(score_text(each[name]) if name in each else "-" for each in scores.values()))
        for name in names
    ]
    return table_lines(("scores", *scores), rows) if scores else ["scores    none"]
