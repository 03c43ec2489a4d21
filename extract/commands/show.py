"""Results of the commands, laid out for people: plain lines."""

from shlex import quote

from data.names import padded, short_names, width_of
from data.text import counted, some_of


def report_lines(report: dict) -> list[str]:
    """Lay out `extract.run.extract.Report` for people."""
    head = (
        f"{report['file']}: {counted(report['rows'], 'row')}, {report['computed']} computed, "
        f"{report['reused']} reused, "
    )
    lines = [head + f"{report['rejected']} rejected, {report['seconds']:.1f} s"]
    names = {
        "file": "from the file",
        "parts": "from finished parts",
        "others": "from --reuse",
        "twins": "equal images",
    }
    saved = [
        f"{report['reused_from'][name]} {words}"
        for name, words in names.items()
        if report["reused_from"][name]
    ]
    gone = [f"{counted(report[name], 'row')} {name}" for name in ("dropped", "replaced") if report[name]]
    if gone:
        lines.append(f"{', '.join(gone)}: kept in {report['before']}, which --reuse takes")
    if saved:
        lines.append(f"not computed again: {', '.join(saved)}")
    if report["unlabelled"]:
        lines.append(f"without a label: {counted(report['unlabelled'], 'row')}")
    if report["classes"] > 1:
        lines.append(f"next: python -m classify train {quote(report['file'])} --head logistic")
    return lines


def preview_lines(values: dict) -> list[str]:
    """Lay out `extract.run.forecast.Preview` for people."""
    words = {
        "present": "present",
        "added": "added",
        "replaced": "replaced",
        "twins": "equal to a missing one",
        "rejected": "rejected",
        "unreadable": "unreadable",
    }
    counts = ", ".join(f"{values[kind]} {text}" for kind, text in words.items())
    lines = [
        f"{counted(values['rows'], 'row')}: {counts}",
        f"to compute: {counted(values['missing'], 'image')} in {counted(values['parts'], 'part')}",
    ]
    if values["dropped"]:
        lines.append(f"to drop: {counted(values['dropped'], 'row')}, kept beside the file")
    if values["refused"]:
        lines.append(f"{values['refused']} would leave the file: refused without --allow-drop")
    if not values["missing"]:
        return lines
    replicas = sum(node["replicas"] for node in values["nodes"])
    return [
        *lines,
        *(f"node {node['node']}: {counted(node['replicas'], 'replica')}" for node in values["nodes"]),
        *([f"about {values['parts'] / replicas:.1f} parts for each replica"] if replicas else []),
        f"disk: {values['bytes_needed'] / 1e6:.1f} MB needed, {values['bytes_free'] / 1e6:.1f} MB free",
        f"time: {values['seconds']:.0f} s, projected from {values['images_per_second']:.1f} images/s",
    ]


def diff_lines(values: dict) -> list[str]:
    """Lay out `extract.feature_file.diff.Difference` for people."""
    lines = [f"recipe  {name}: {one} | {two}" for name, (one, two) in values["recipe"].items()]
    words = {
        "only_first": "only in the first",
        "only_second": "only in the second",
        "other_bytes": "with other image bytes",
        "other_label": "with another label",
        "other_split": "in another split",
    }
    for name, text in words.items():
        if values[name]:
            lines.append(f"rows    {len(values[name])} {text}: {some_of(values[name], 5)}")
    return lines or ["no difference"]


def verdict_lines(values: dict) -> list[str]:
    """Lay out `extract.feature_file.verify.Verdict` for people."""
    lines = [f"{values['file']}: {problem}" for problem in values["problems"]]
    if values["damaged"]:
        damaged = counted(len(values["damaged"]), "damaged row")
        lines.append(f"{values['file']}: {damaged}: {some_of(values['damaged_ids'], 5)}")
    remedies = {
        "repair": f"python -m extract repair {quote(values['file'])}",
        # A cache other than the one of `verify` may take a changed file for the one it knows.
        "run": f"the command that made {values['file']}, again with --rehash: it reads every file, and "
        "computes only what is missing or has changed",
        "extract": "move it away and extract again",
    }
    return [*lines, f"next: {remedies[values['remedy']]}"] if lines else [f"{values['file']}: sound"]


def bench_lines(values: dict) -> list[str]:
    """Lay out `extract.run.bench.Bench` for people."""
    words = {
        "matrix_product": f"limit: matrix product, {values['gflop']:.2f} GFLOP an image",
        "engine": "engine alone",
        "decode": "decode alone",
        "pipeline": "whole pipeline",
        "keras": "Keras' own: image_dataset_from_directory, predict",
    }
    engine = " ".join(values["engine"][name] for name in ("engine", "version", "device"))
    head = f"{engine}, {counted(values['threads'], 'thread')}, batches of {values['batch_size']}"
    width = max(map(len, words.values()))
    return [
        f"{head}; {values['images']} images, medians of {values['repeats']}",
        f"{'':<{width}}  images/s   ratio",
        *(
            f"{text:<{width}}{values['medians'][name]:>10.1f}{values['ratios'][name]:>8.2f}"
            for name, text in words.items()
        ),
        f"the whole pipeline is at {values['pipeline_over_engine']:.0%} of the engine alone",
    ]


def repair_lines(values: dict) -> list[str]:
    """Lay out `extract.feature_file.repair.Repair` for people."""
    lines = [f"{values['file']}: {counted(values['kept'], 'row')} kept, {values['dropped']} dropped"]
    if values["salvaged"]:
        lines.append(f"ids and labels were damaged too: the rows are in {values['salvaged']}")
    if values["dropped"] or values["salvaged"]:
        lines.append(f"next: the command that made {values['file']} computes only what is missing")
    return lines


def info_lines(summary: dict) -> list[str]:
    """Lay out `FeatureFile.summary` for people."""
    recipe, splits = summary["recipe"], summary["rows_by_split"]
    names = short_names(summary["class_names"])
    width = width_of(names.values(), "class")
    lines = [
        f"{summary['file']}: {counted(summary['rows'], 'row')}, {summary['rejected_rows']} rejected, "
        f"{summary['bytes'] / 1e6:.1f} MB" + (", sharded" if summary["layout"] == "sharded" else ""),
        f"source    {', '.join(map(_text, summary['source'].values()))}",
        f"recipe    {summary['recipe_key'][:16]}",
        *(f"  {name:<18}{_text(value)}" for name, value in recipe.items()),
        f"weights   {summary['weights'].get('name', 'unknown')}: {summary['weights'].get('origin', '')}",
        *(
            "engine    " + ", ".join(f"{name} {value}" for name, value in row.items())
            for row in summary["engines"]
        ),
        *(f"feature   {name} {tuple(shape)}" for name, shape in summary["features"].items()),
        f"{'rows':<10}{'class':<{width}}" + "".join(f"{name:>12}" for name in splits),
        *(
            f"{'':<10}{padded(short, width)}" + "".join(f"{splits[split][name]:>12}" for split in splits)
            for name, short in names.items()
        ),
        f"{'':<10}{'all':<{width}}" + "".join(f"{sum(counts.values()):>12}" for counts in splits.values()),
    ]
    return lines + [f"rejected  {row['id']}: {row['reason']}" for row in summary["rejected"]]


def _text(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return str(value) if value != "" else "-"
