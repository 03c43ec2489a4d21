"""Tables in Markdown, and those of `benchmarks/results/*.json`: a block for each, named as the file."""

import json
import textwrap
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import median
from typing import Any

from classify.benchmark.report import benchmark_lines

RESULTS = Path(__file__).resolve().parent.parent / "benchmarks" / "results"


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a table in Markdown; a bar in a cell stays a bar."""
    lines = [[cell.replace("|", r"\|") for cell in row] for row in (head, *rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def stored(name: str) -> Any:
    """Return what a script measured."""
    return json.loads((RESULTS / f"{name}.json").read_text())


def block(name: str, script: str, words: str, *tables: str) -> str:
    """Return a block: what was measured, where the figures are from, and the tables."""
    result = stored(name)
    machine = result["machine"]
    known = {
        "CPU": machine.get("processor"),
        "instruction sets": " ".join(machine.get("instruction_sets", ())),
        "cores": machine["cores"],
        "memory": f"{machine['memory_gb']} GB" if "memory_gb" in machine else "",
        "date": machine.get("date"),
        "Python": machine.get("python"),
        **machine.get("versions", {}),
    }
    facts = ", ".join(f"{what} {value or 'not recorded'}" for what, value in known.items())
    source = f"Made by `{script}`, kept in `benchmarks/results/{name}.json`; {facts}."
    return "\n\n".join([paragraph(words), paragraph(source), *tables])


def paragraph(words: str) -> str:
    """Return text in lines of at most 120 characters."""
    return textwrap.fill(words, 120, break_long_words=False, break_on_hyphens=False)


def figure(value: float) -> str:
    """Return three digits of a number, and all before the point."""
    return f"{value:,.0f}" if value >= 100 else f"{value:#.3g}"


def turns(values: list[float]) -> tuple[str, str]:
    """Return the median of what several turns gave, and the lowest and highest."""
    return figure(median(values)), f"{figure(min(values))} to {figure(max(values))}"


def extraction() -> str:
    """Return what each arithmetic gives and costs, what decoding takes, and what twelve megapixels do."""
    result = stored("extraction")
    (one, many), first = result["threads"]["medians"], result["speed"]["float32"]
    words = (
        f"{first['images']} images, {first['threads']} threads, batches of {first['batch_size']}; medians of "
        f"{first['repeats']}, taken in turns; ratios are to the best turn of Keras' own. "
        "*Of both* is the share of 1 / (1/engine + 1/decode), as both share the cores. Two threads give "
        f"{many / one:.2f} times the images of one."
    )
    if long := result.get("long"):
        count, window = len(long["seconds"]) * long["window"], f"{long['window']:,}"
        words += (
            f" In one run over {count:,} synthetic images the last {window} took "
            f"{long['last_over_first']:.3f} times the time of the first {window}."
        )
    tables = (lay_out(result[name]) for name, lay_out in EXTRACTION.items() if name in result)
    return block("extraction", "benchmarks/extraction.py PHOTOS", words, *tables)


def _speed(speeds: dict[str, Any]) -> str:
    head = ("Xception, 150x150; images/s", "limit: matrix product", "engine alone", "whole pipeline")
    head = (*head, "pipeline / engine", "of both", "pipeline / Keras' best")
    rows = []
    for name, values in speeds.items():
        medians = values["medians"]
        limit = f"{figure(medians['matrix_product'])} ({values['limit']})"
        engine, pipeline = (
            " (".join(turns(values["images_per_second"][arm])) + ")" for arm in ("engine", "pipeline")
        )
        ratios = ("pipeline_over_engine", "pipeline_over_both", "pipeline_over_keras_best")
        rows.append((name, limit, engine, pipeline, *(f"{values[ratio]:.2f}" for ratio in ratios)))
    return f"{table(head, rows)}\n\n{_shared(speeds['float32'])}"


def _shared(values: dict[str, Any]) -> str:
    words = {
        "decode": "decode alone",
        "read": "read alone, from the system's memory",
        "keras": "Keras' own: `image_dataset_from_directory`, `predict`, without autotuning",
    }
    speeds = values["images_per_second"]
    rows = [(text, *turns(speeds[arm])) for arm, text in words.items() if arm in speeds]
    return table(("the same for all", "images/s", "turns"), rows)


def _accuracies(values: dict[str, Any]) -> str:
    digits = {"accuracy": 4, "log_loss": 4, "cosine_mean": 5, "cosine_least": 4}
    rows = [
        (name, *(f"{each[score]:.{places}f}" for score, places in digits.items()))
        for name, each in values.items()
    ]
    images = f"{next(iter(values.values()))['images']:,} photographs, 10 folds"
    return table((images, "accuracy", "log loss", "cosine to float32, mean", "least"), rows)


def _fast_engine(values: dict[str, Any]) -> str:
    rows = [(name, *turns(speeds)) for name, speeds in values["images_per_second"].items()]
    rows.append(("under the interpreter's lock", f"{values['lock_ms']:.3f} ms an image", ""))
    return table(("decoding for an engine that does nothing", "images/s", "turns"), rows)


def _large(values: dict[str, Any]) -> str:
    rows = [(name, *turns(speeds)) for name, speeds in values["images_per_second"].items()]
    words = f"{values['images']} JPEGs of {values['sides'][0]}x{values['sides'][1]}, upscaled photographs"
    return table((words, "images/s", "turns"), rows)


EXTRACTION = {"speed": _speed, "accuracy": _accuracies, "decoding": _fast_engine, "large": _large}


def decoding() -> str:
    """Return what bytes to pixels cost without TensorFlow and with it."""
    result = stored("decoding")
    rows = []
    for what, ways in result["cpu_ms"].items():
        ours, theirs = (median(ways[name]) for name in ("headstart", "tensorflow"))
        rows.append((what, *turns(ways["headstart"]), *turns(ways["tensorflow"]), figure(theirs / ours)))
    words = (
        f"{result['images']} photographs; those of {result['megapixels']:.0f} "
        f"megapixels are made by upscaling. CPU milliseconds an image of one thread, medians of "
        f"{result['repeats']}, in turns with `tf.io` and `tf.image.resize`, on a machine with a load of "
        f"{result['load']:.0f}. The steps of the interpreter take {figure(median(result['steps_ms']))} ms."
    )
    columns = ("", "headstart", "turns", "TensorFlow", "turns", "TensorFlow / headstart")
    return block("decoding", "benchmarks/decoding.py PHOTOS", words, table(columns, rows))


HEADS = {  # what the first and the second times of an entry are
    "keras-linear": ("`keras-linear`, 20 epochs", "Keras' `Model.fit`, same arithmetic"),
    "mlp": ("`mlp`, 5 epochs", "Keras' `Model.fit`, same net"),
    "linear_64": ("one `keras-linear`", "64 of one dropout rate, together"),
    "ridge": ("`ridge`, 13 penalties", "`RidgeClassifierCV`"),
    "logistic": ("scikit-learn's `LogisticRegression`, to the same gradient", "`logistic`"),
    "logistic_command": ("`python -m classify train FILE --head logistic`", ""),
}


def heads() -> str:
    """Return how fast heads train, and what users would take instead."""
    result, rows = stored("heads"), []
    for name, names in HEADS.items():
        head = result["heads"][name]
        seconds = [figure(median(times)) for times in head["seconds"]]
        ratio = figure(head["value"]) if len(seconds) == 2 else ""
        rows.append((names[0], seconds[0], names[1], "".join(seconds[1:]), ratio))
    size, count = f"{result['rows']:,} rows of {result['width']:,} features", len(head["seconds"][0])
    words = f"{size}; medians of {count}, taken in turns."
    columns = ("first", "s", "second", "s", "second / first")
    return block("heads", "benchmarks/heads.py FILE", words, table(columns, rows))


def larger_than_memory() -> str:
    """Return how fast a large file is read and trained on, and in how much memory."""
    result = stored("larger_than_memory")
    ways = {
        "direct": "a plain sequential read",
        "logistic": "a pass of `logistic`",
        "shuffled": "shuffled blocks alone",
        "keras_linear_epoch": "an epoch of `keras-linear`",
    }
    disk, cache = (result["reads"][place]["mb_per_second"] for place in ("from_disk", "from_cache"))
    reads = [(words, *turns(disk[way]), *turns(cache[way])) for way, words in ways.items()]
    trained = [
        (f"`{name}`", figure(head["peak_resident_gb"]), figure(head["seconds"]), _lines(head["said"]))
        for name, head in result["heads"].items()
    ]
    size = f"{result['rows']:,} rows of {result['width']:,} features ({result['bytes'] / 1e9:.1f} GB)"
    words = (
        f"A file of {size}, sorted by class, dropped from the page cache before each pass from the disk; "
        f"medians of {result['repeats']} passes, taken in turns. Heads were trained with "
        f"`--memory {result['memory'] / 1e9:.0f}GB`."
    )
    return block(
        "larger_than_memory",
        "benchmarks/larger_than_memory.py",
        words,
        table(("", "MB/s from the disk", "turns", "MB/s from the cache", "turns"), reads),
        table(("head", "GB resident at most", "s, whole command", "it said"), trained),
    )


def _lines(said: list[str]) -> str:
    return "; ".join(" ".join(line.split()) for line in said)


def ray() -> str:
    """Return what the Ray runner costs on one machine."""
    result = stored("ray")
    ways = {"local": "the driver's process, one thread", "one_actor": "one actor", "two_actors": "two actors"}
    speeds, first = result["images_per_second"], result["seconds_until_the_first_part"]
    rows = [(words, *turns(speeds[way]), *turns(first[way])) for way, words in ways.items()]
    count = len(speeds["local"])
    words = (
        f"{result['images']} photographs in parts of {result['part_rows']}; medians of {count}, taken in "
        "turns; counted when every worker has finished its first part. An image takes one actor of "
        f"one thread {1 + result['overhead_of_one_actor']:.2f} times the seconds that it takes the driver's "
        f"process. Two actors are {result['two_actors_over_one']:.2f} times as fast as one."
    )
    columns = ("", "images/s", "turns", "s until the first part", "turns")
    return block("ray", "benchmarks/ray_runner.py PHOTOS", words, table(columns, rows))


def feature_file() -> str:
    """Return what the feature file costs."""
    result = stored("feature_file")
    more, reads = result["one_percent_more"], result["reads"]
    random, whole = reads["random_32_rows_ms"], reads["sequential_gb_per_second"]
    mapped = "`numpy.memmap` on the same bytes"
    rows = [
        ("`extract run` with nothing to do, from the shell", *turns(result["hit_seconds"]), "s"),
        (f"{more['computed']} more images, within a process", figure(more["seconds"]), "", "s"),
        ("a file is assembled", *turns(result["assembly_mb_per_second"]), "MB/s"),
        ("32 random rows", figure(random["ours"]), "", "ms"),
        (f"32 random rows, {mapped}", figure(random["memmap"]), "", "ms"),
        ("a sequential read", figure(whole["ours"]), "", "GB/s"),
        (f"a sequential read, {mapped}", figure(whole["memmap"]), "", "GB/s"),
    ]
    size = f"{result['rows']:,} images of {result['width']:,} features ({result['bytes'] / 1e6:.0f} MB)"
    words = f"{size}; medians of {len(result['hit_seconds'])}."
    return block(
        "feature_file", "benchmarks/feature_file.py", words, table(("", "median", "turns", ""), rows)
    )


def learning_curve() -> str:
    """Return the accuracy on the test rows over the number of training rows."""
    result = stored("learning_curve")
    files = list(result["curves"].values())
    rows = [
        (f"{points[0]['rows']:,}", *map(_mean, points))
        for points in zip(*(file["points"] for file in files), strict=True)
    ]
    words = (
        f"Accuracy of `logistic` on {files[0]['test_rows']} test rows: mean and standard deviation over "
        f"{result['subsets']} subsets of the training rows. {result['seconds']:.0f} s for all."
    )
    columns = ("training rows", *(f"{file['image_size']} pixels" for file in files))
    script = f"benchmarks/learning_curve.py {' '.join(result['curves'])}"
    return block("learning_curve", script, words, table(columns, rows))


def _mean(point: dict[str, float]) -> str:
    """Return a mean and its standard deviation, which the one head that all rows train has not."""
    return f"{point['mean']:.4f}" + (f" ± {point['sd']:.4f}" if point["sd"] else "")


def benchmark() -> str:
    """Return what `classify benchmark` printed, without its notes."""
    result = stored("benchmark")
    options = f"--rows {result['rows']} --budget {result['budget']:g} -o {result['folder']}"
    script = f"python -m classify benchmark {result['source']} {options}"
    printed = [line for line in benchmark_lines(result)[:-1] if not line.startswith("note: ")]
    text = "\n".join(["```", *printed]).rstrip() + "\n```"
    return block("benchmark", script, f"It took {result['minutes']:.1f} minutes.", text)


_WAYS = {
    "suggest": "`suggest`",
    "margin": "least margin alone",
    "k-means": "k-means alone",
    "BADGE": "BADGE (Ash et al. 2020)",
    "random": "random choice",
}


def label_sets() -> str:
    """Return how often sets of labels hold the truth, and how large they are, by each way to make them."""
    result = stored("label_sets")
    rows = [
        (
            f"{each['name']}, {each['splits']}, {each['training_rows']:,}, {each['accuracy']:.3f}",
            f"{row['scores of']}, {row['score']}",
            f"{row['coverage']:.4f} ± {row['error']:.4f}",
            f"{row['size']:.2f}",
            f"{row['single']:.1%}",
        )
        for each in result["data"]
        for row in each["rows"]
    ]
    columns = (
        "data, divisions, training rows, accuracy",
        "scores",
        "coverage",
        "labels in a set",
        "sets of one label",
    )
    words = (
        f"Sets with a coverage of {result['coverage']} by `logistic` on random divisions of the rows: means, "
        "and the standard error of the coverage. Others used the cores too, which these figures do not feel."
    )
    return block(
        "label_sets", "benchmarks/label_sets.py digits trash.h5 photos.h5", words, table(columns, rows)
    )


def penalty() -> str:
    """Say how good the penalty and the temperature are that `train` chooses, and what they cost."""
    result = stored("penalty")
    seeds = result["seeds"]
    tables = []
    for name, found in result["sets"].items():
        head = (
            f"{name}: {found['rows']:,} rows, {found['classes']} classes",
            *("accuracy", "log loss", "ECE", "CPU s", "C", "T"),
        )
        heads = found["heads"]
        lines = [table(head, [_penalized(words, heads[key]) for key, words in _PENALIZED.items()])]
        lines += [_difference(words, found["differences"][pair], seeds) for pair, words in _PAIRS.items()]
        tables.append("\n\n".join(lines))
    words = (
        f"Means on test rows over {seeds} divisions of the rows, 8 : 1 : 1. The reference is scikit-learn's "
        "`LogisticRegression` with the best of 45 values of C from 1e-6 to 1e5 by the log loss of the "
        "validation rows, as in DINOv3's evaluation (ten in a row that are worse end its search); its CPU "
        "seconds are of the last fit alone. The ten classes are clusters of the rows of the first two files, "
        f"drawn again with noise of {result['noise']} standard deviations; rows drawn of one are on one side "
        "of each division. Threads of BLAS: one."
    )
    return block("penalty", "benchmarks/penalty.py photos.h5 trash.h5 tfds.h5", words, *tables)


def sweep() -> str:
    """Say whether a sweep chooses as well as one that trains everything, and how long it takes."""
    result = stored("sweep")
    pairs, large = result["seeds"], result["large"]
    same = sum(each["within_one_standard_error"] for each in pairs)
    rows = [
        (str(number), name, _chosen(each[name]), *_took(each[name]))
        for number, each in enumerate(pairs, 1)
        for name in ("default", "exhaustive")
    ]
    rows.append((f"{large['rows']:,} rows", "default", _chosen(large), *_took(large)))
    words = (
        f"{result['rows']:,} rows of 2,048 features in ten classes, eight tenths of them for training; "
        f"{len(pairs)} divisions, and once {large['rows']:,} rows. The choice of the default is within one "
        f"standard error of the exhaustive one in {same} of {len(pairs)}. The first pair ran beside other "
        "work."
    )
    head = ("division", "sweep", "chosen", "log loss", "standard error", "test accuracy", "seconds", "CPU s")
    return block("sweep", "benchmarks/sweep.py photos.h5 trash.h5", words, table(head, rows))


def _chosen(found: dict[str, Any]) -> str:
    params = ", ".join(f"{name}={value}" for name, value in found["params"].items())
    return f"{found['head']} {params}".strip()


def _took(found: dict[str, Any]) -> tuple[str, ...]:
    scores = (found["log_loss"], found["standard_error"], found["test"]["accuracy"])
    return (*(f"{score:.4f}" for score in scores), figure(found["seconds"]), figure(found["cpu_seconds"]))


def frontier() -> str:
    """Compare what a frontier says on a sample with full extractions."""
    result = stored("frontier")
    tables = [_tried(name, found) for name, found in result["sets"].items()]
    words = (
        "On the left the sample, on the right all labelled rows of full extractions, test rows too. A "
        "recipe with fewer rows was stopped early. *Alike*: these rows cannot tell it from the best of its "
        "side. The machine was busy with other work: on a quiet one all are faster."
    )
    return block("frontier", "benchmarks/frontier.py WORK photos=PHOTOS trash=TRASH", words, *tables)


def _tried(name: str, found: dict[str, Any]) -> str:
    scores = ("log loss", "accuracy", "alike")
    head = ("recipe", "images/s", "rows", *scores, "all rows", *scores)
    front, every = found["frontier"], {each["name"]: each for each in found["recipes"]}
    wanted = sorted(
        dict.fromkeys([*every, *found["full"]]),
        key=lambda each: (found["full"].get(each) or every[each])["log_loss"]["value"],
    )
    rows = [
        (each, *_sampled(every.get(each), front), *_extracted(found["full"].get(each), each == found["best"]))
        for each in wanted
    ]
    words = (
        f"{name}: {front['images']:,} images in {front['classes']} classes. The frontier names "
        f"{front['named']}; best on its sample is {front['best']}, best of full extractions {found['best']}."
    )
    return "\n\n".join([paragraph(words), table(head, rows)])


def _sampled(each: dict[str, Any] | None, front: dict[str, Any]) -> tuple[str, ...]:
    if each is None:
        return ("",) * 5
    alike = "best" if each["name"] == front["best"] else "yes" if each["name"] in front["alike"] else "no"
    return figure(each["images_per_second"]), str(each["rows"]), *_both(each), alike


def _extracted(each: dict[str, Any] | None, best: bool) -> tuple[str, ...]:
    if each is None:
        return ("",) * 4
    alike = "best" if best else "yes" if each["against_best"]["alike"] else "no"
    return f"{each['rows']:,}", *_both(each), alike


def _both(each: dict[str, Any]) -> tuple[str, str]:
    return f"{each['log_loss']['value']:.4f}", f"{each['accuracy']['value']:.4f}"


_PENALIZED = {
    "C=1": "C=1: `train` before",
    "validation rows": "C by validation rows",
    "validation rows, calibrated": "C and T by validation rows: `train` now",
    "folds": "C by folds, learns validation rows too",
    "folds, calibrated": "C and T by folds, learns validation rows too",
    "reference": "reference, learns validation rows too",
    "reference of the same rows": "reference, learns training rows alone",
}
_PAIRS = {
    "validation rows, calibrated - C=1": "`train` now less `train` before",
    "validation rows, calibrated - validation rows": "T by validation rows less none",
    "folds, calibrated - folds": "T by folds less none",
    "validation rows - reference of the same rows": "C by validation rows less that of the same rows",
    "folds - reference": "C by folds less the reference that learns as many rows",
}


def _penalized(words: str, head: dict[str, Any]) -> tuple[str, ...]:
    scores = (f"{head[name]:.4f}" for name in ("accuracy", "log_loss", "ece"))
    ends = []
    for least, most in ((min(head[name]), max(head[name])) for name in ("C", "temperature")):
        ends.append(f"{least:.2g}" if least == most else f"{least:.2g} to {most:.2g}")
    return words, *scores, figure(head["cpu_seconds"]), *ends


def _difference(words: str, found: dict[str, Any], seeds: int) -> str:
    mean, within = found["mean"], found["within"]
    most = max(found["means"])
    told = f"{within} of {seeds} at most one standard error above, {most:+.4f} at the most"
    return paragraph(f"Log loss, in pairs, {words}: {mean:+.4f} ± {found['error']:.4f} on average; {told}.")


def suggest() -> str:
    """Return how many labels each way of choosing them took, and what it gained."""
    result = stored("suggest")
    tables = []
    for name, found in result["sets"].items():
        labels, judged = found["labels"], found["judged_on"]
        head = (
            f"{name}: {found['images']:,} images, {found['classes']} classes",
            f"labels until {found['goal']:.3f}",
            *(f"after {labels[place]}" for place in _SHOWN),
            "gain over random choice",
            "seeds above it",
        )
        rows = [_way(words, found["ways"][way], result["seeds"]) for way, words in _WAYS.items()]
        tables.append(f"{table(head, rows)}\n\nJudged on {judged} images.")
    words = (
        f"Accuracy of `logistic` after so many labels, of which a few were given before: mean and standard "
        f"deviation over {result['seeds']} seeds, which draw the images that judge and the first "
        f"labels. The goal is what random choice reached at the end. The gain is the mean over all batches, "
        f"from the same start; its deviation is over the seeds. {result['cpu_seconds']:,} s of one core."
    )
    return block("suggest", "benchmarks/suggest.py photos.h5 trash.h5", words, *tables)


_SHOWN = (2, 5, 8, 12)  # batches


def _way(words: str, way: dict[str, Any], seeds: int) -> tuple[str, ...]:
    reached = way["labels_to_goal"]
    points = (f"{way['mean'][place]:.3f} ± {way['sd'][place]:.3f}" for place in _SHOWN)
    gain = way["gain"]
    gained = (f"{gain['mean']:+.4f} ± {gain['sd']:.4f}", f"{gain['seeds_above']} of {seeds}")
    return (
        words,
        "not reached" if reached is None else f"{reached:.0f}",
        *points,
        *(gained if words != _WAYS["random"] else ("", "")),
    )


_COPIES = {
    "q75": "JPEG quality 75",
    "q40": "JPEG quality 40",
    "half": "half the size",
    "mirror": "mirrored",
    "crop95": "cropped by 5 %",
    "crop90": "cropped by 10 %, quality 75",
}


def duplicates() -> str:
    """Return which planted copies are found, and how long the search takes."""
    result = stored("duplicates")
    planted, searches = result["planted"], result["searches"]
    others = len(planted["originals"]["other_pairs"])
    words = (
        f"Each kind of copy of {planted['copies_of_each_kind']} of {planted['photographs']:,} photographs "
        f"was planted for itself, and three together at last. Of the pairs of other photographs, {others} "
        f"are found before anything is planted. For the times, rows of {result['width']:,} features were "
        "drawn, of which one in a hundred is a copy, a third each as near as re-encoded, slightly cropped "
        "and mirrored photographs. The machine was busy with other work: read the seconds of the processor."
    )
    kinds = [
        (_COPIES.get(name, name), f"{found['found']:.1%}", str(len(found["other_pairs"])))
        for name, found in planted["kinds"].items()
    ]
    names = next(iter(searches.values()))["found"]
    head = ("rows", "search", "CPU", "time (load)", "peak memory", *names, "false alarms")
    rows = [_search(int(count), found) for count, found in searches.items()]
    told = [_compared(int(count), each["compared"]) for count, each in searches.items() if "compared" in each]
    tables = table(("copy", "found", "pairs of others"), kinds), table(head, rows)
    return block("duplicates", "benchmarks/duplicates.py", words, *tables, *told)


def _search(rows: int, found: dict[str, Any]) -> tuple[str, ...]:
    return (
        f"{rows:,}",
        "each with each" if found["exact"] else "by projections",
        f"{found['cpu_seconds']:,.0f} s",
        f"{found['seconds']:,.0f} s ({found['load']:.0f})",
        f"{found['resident_peak'] / 1e9:.2f} GB",
        *(f"{share:.1%}" for share in found["found"].values()),
        f"{found['false_alarms']:.2%}",
    )


def _compared(rows: int, found: dict[str, Any]) -> str:
    return paragraph(
        f"Of {rows:,} rows, {found['rows_asked']:,} (all copies and their originals, and others) were also "
        f"compared with each: the search by projections found {found['found']:.1%} of the "
        f"{found['exact_pairs']:,} pairs that these have, and {found['planted_found']:.1%} of the copies; "
        f"the exact search found {found['planted_found_by_exact_search']:.1%} of those. For all rows it "
        f"would take {found['cpu_seconds_of_exact_search']:,.0f} s of the processor, extrapolated."
    )


_SCORES = {
    "average_precision": "average precision",
    "auroc": "AUROC",
    "precision_at_planted": "precision at as many as planted",
    "recall_at_1.1_planted": "recall at 1.1 times as many",
    "recall_at_2_planted": "recall at twice as many",
}
_PLANTED = ("random", "alike")


def suspects() -> str:
    """Return which rankings find planted wrong labels, and how well these are counted."""
    result = stored("suspects")
    words = (
        "Labels planted wrong: `random`, of any image by any other class; `alike`, of any image by the class "
        "that it looks like; `hard`, of images that heads are unsure of. Rankings: mean over three seeds. "
        "Counts: mean over eight seeds, and how often the 95 % interval held the number that was planted. "
        f"{result['cpu_seconds']:,} s of one core."
    )
    tables = [_rankings(name, found) for name, found in result["sets"].items()]
    return block(
        "suspects",
        "benchmarks/suspects.py photos.h5 trash.h5",
        words,
        *tables,
        _all_scores(result),
        _counts(result),
    )


def _rankings(name: str, found: dict[str, Any]) -> str:
    rates = sorted({each["rate"] for each in found["rankings"]})
    columns = [(kind, rate) for kind in _PLANTED for rate in rates]
    head = (f"{name}: average precision", *(f"{kind} {rate:.0%}" for kind, rate in columns))
    rows = []
    for ranking in dict.fromkeys(each["ranking"] for each in found["rankings"]):
        own = [each for each in found["rankings"] if each["ranking"] == ranking]
        values = (
            [each["average_precision"] for each in own if (each["kind"], each["rate"]) == column]
            for column in columns
        )
        rows.append((ranking, *(f"{sum(each) / len(each):.3f}" for each in values)))
    return table(head, rows)


def _all_scores(result: dict[str, Any]) -> str:
    found = [each for one in result["sets"].values() for each in one["rankings"]]
    rows = []
    for ranking in dict.fromkeys(each["ranking"] for each in found):
        own = [each for each in found if each["ranking"] == ranking]
        rows.append((ranking, *(f"{sum(each[score] for each in own) / len(own):.3f}" for score in _SCORES)))
    return table(("mean over all sets, kinds and rates", *_SCORES.values()), rows)


def _counts(result: dict[str, Any]) -> str:
    rows = []
    for name, found in result["sets"].items():
        for kind, rate in dict.fromkeys((each["kind"], each["rate"]) for each in found["counts"]):
            own = [each for each in found["counts"] if (each["kind"], each["rate"]) == (kind, rate)]
            counts = [each["count"] for each in own]
            held = sum(each["count"]["low"] <= each["planted"] <= each["count"]["high"] for each in own)
            low, value, high = (
                sum(each[end] for each in counts) / len(counts) for end in ("low", "value", "high")
            )
            others = (
                sum(each[what] for each in own) / len(own) for what in ("disagreements", "confident_learning")
            )
            estimate = f"{value:.0f} [{low:.0f}, {high:.0f}]"
            rows.append(
                (
                    name,
                    kind,
                    str(own[0]["planted"]),
                    estimate,
                    f"{held} of {len(own)}",
                    *(f"{each:.0f}" for each in others),
                )
            )
    return table(
        ("set", "kind", "planted", "estimate", "interval held it", "disagreements", "confident learning"),
        rows,
    )


_GPU_ARMS = {
    "engine": "engine alone",
    "on_device": "pixels on the device",
    "pipeline": "whole pipeline",
    "keras_predict": "Keras' `predict`",
}


def gpu() -> str:
    """Return what the Keras engine reaches on one device."""
    result = stored("gpu")
    speeds: dict[tuple, dict[str, float]] = {}
    decode: dict[int, float] = {}
    for each in result["figures"]:
        speed = each.get("images_per_second")  # none where the memory was too small
        if each["arm"] == "decode":
            decode[each["size"]] = speed
        elif speed:
            speeds.setdefault((each["size"], each["precision"], each["batch"]), {})[each["arm"]] = speed
    rows = [
        (*map(str, case), *(figure(found[arm]) if arm in found else "-" for arm in _GPU_ARMS))
        for case, found in sorted(speeds.items())
    ]
    engine, photos = result["engine"], result["photos"]
    versions = ", ".join(f"{name} {each}" for name, each in engine.items() if name != "device" and each)
    decoded = " and ".join(f"{figure(speed)} images/s at {size} pixels" for size, speed in decode.items())
    where = (
        engine["device"]
        if result["is_gpu"]
        else "a CPU busy with other work, no GPU: figures that show no more than that the script runs"
    )
    words = (
        f"On {where}. {result['backbone']} with random weights, {versions}; {result['threads']} threads; "
        f"drawn JPEG files of {' x '.join(map(str, photos['pixels'][::-1]))} pixels, "
        f"{photos['bytes'] / 1e3:.0f} kB. Decoding alone, by {photos['decoder']}: {decoded}. "
        f"Images/s, {result['seconds_each']:g} s each:"
    )
    return block(
        "gpu", "benchmarks/gpu.py", words, table(("size", "precision", "batch", *_GPU_ARMS.values()), rows)
    )


def layers() -> str:
    """Return what a backbone costs that is cut at early layers."""
    result = stored("layers")
    height, width = result["image_size"]
    whole = median(result["arms"][-1]["images_per_processor_second"])
    rows = [
        (
            ", ".join(f"`{name}`" for name in arm["layers"]),
            f"{arm['share']:.0%}",
            *turns(arm["images_per_processor_second"]),
            f"{median(arm['images_per_processor_second']) / whole:.2f}",
        )
        for arm in result["arms"]
    ]
    words = (
        f"{result['backbone'].capitalize()} at {height}x{width}, OpenVINO, one thread, {result['images']} "
        "photographs; images for a second of the processor, medians of all turns."
    )
    head = ("layers", "share of the cost", "images/s", "turns", "times the whole")
    return block("layers", "benchmarks/layers.py PHOTOS", words, table(head, rows))


def sources() -> str:
    """Return how fast archives and Parquet files are beside a folder."""
    result = stored("sources")
    rows = []
    for what, text in (("run", "a run"), ("decoding", "reading and decoding"), ("reading", "reading")):
        turns_of = result["turns"][what]
        first = turns_of["folder"]["images_per_second"]
        for name, values in turns_of.items():
            speeds = values["images_per_second"]
            ratio = median(mine / other for mine, other in zip(speeds, first, strict=True))
            rows.append((text, name, *turns(speeds), f"{ratio:.2f}", figure(median(values["cpu_ms"]))))
    repeats = len(result["turns"]["run"]["folder"]["cpu_ms"])
    again = sum(result["computed_again"].values())
    size = result["megabytes"] / result["images"] * 1e3
    words = (
        f"{result['images']} photographs of {size:.0f} kB in a folder, a deflated zip file, a tar file and a "
        f"Parquet file in row groups of {result['row_group']}, from the system's memory, in turns; medians, "
        f"of {repeats} runs each. A run is Xception at 150 pixels from opening the source to the finished "
        "file, with nothing known before; the ratio is the median of those in one turn. Runs of all four "
        f"onto the file of the folder computed {again} images again. Other work was on the machine: its "
        f"load was {result['load']:.1f}."
    )
    head = ("", "source", "images/s", "turns", "of the folder's", "CPU ms an image")
    return block("sources", "benchmarks/sources.py PHOTOS", words, table(head, rows))


def backbones() -> str:
    """Compare backbones, sizes and arithmetics, ways of resizing, and what `frontier` says of them."""
    result = stored("backbones")
    words = (
        f"`logistic`, cross-validated in {result['folds']} folds on all rows, with intervals of 95 %; "
        "*against best* and *against bilinear* are paired differences of log loss on the same rows, below 0 "
        f"better. Times are of `extract run` from the shell on {result['timed_images']} of the photographs, "
        f"medians of {len(result['times'][0]['seconds']['turns'])} runs in turns, backbones converted and "
        "calibrated before: images/s from opening the source to the finished file, *seconds* from the shell. "
        f"The load of the machine was {result['load']:.1f}."
    )
    tables = [_times(result["times"])]
    for name, arms in result["sets"].items():
        plain = [arm for arm in arms if arm["resizing"] == "bilinear"]
        resized = [arm for arm in arms if arm["resizing"] != "bilinear"]
        tables += [
            f"{name}: {arms[0]['rows']:,} images; the best is {_best(arms)}.",
            _judged(plain, "against_best"),
            _judged(resized, "against_bilinear"),
        ]
    front = result["frontier"]
    said = (
        f"`classify frontier` with these backbones on photographs ({front['images']:,} images): the front. "
        f"Its best is {front['best']}; it names {front['named']}."
    )
    rows = [
        (
            each["name"],
            *map(_interval, (each["log_loss"], each["accuracy"])),
            figure(each["images_per_second"]),
        )
        for each in front["recipes"]
        if each["on_front"]
    ]
    tables += [paragraph(said), table(("recipe", "log loss", "accuracy", "images/s"), rows)]
    return block("backbones", "benchmarks/backbones.py WORK photos=PHOTOS trash=TRASH", words, *tables)


def _times(times: list[dict[str, Any]]) -> str:
    head = ("recipe", "images/s", "turns", "seconds", "turns", "processor's seconds", "turns")
    names = ("images_per_second", "seconds", "processor_seconds")
    return table(
        head,
        [(_arm(each), *(text for name in names for text in turns(each[name]["turns"]))) for each in times],
    )


def _judged(arms: list[dict[str, Any]], against: str) -> str:
    rows = []
    for arm in arms:
        gap = arm[against]
        compared = _interval(gap["log_loss"], "+") if gap else "best"
        rows.append((_arm(arm), *map(_interval, (arm["log_loss"], arm["accuracy"])), compared))
    return table(("recipe", "log loss", "accuracy", against.replace("_", " ")), rows)


def _best(arms: list[dict[str, Any]]) -> str:
    return next(_arm(arm) for arm in arms if arm["against_best"] is None)


def _arm(each: dict[str, Any]) -> str:
    resizing = "" if each["resizing"] == "bilinear" else f" {each['resizing']}"
    return f"{each['backbone']} {each['image_size']} px {each['arithmetic']}{resizing}"


def _interval(score: dict[str, float], sign: str = "") -> str:
    return f"{score['value']:{sign}.4f} [{score['low']:{sign}.4f}, {score['high']:{sign}.4f}]"


MEASURED: dict[str, Callable[[], str]] = {
    "extraction": extraction,
    "layers": layers,
    "decoding": decoding,
    "gpu": gpu,
    "heads": heads,
    "larger_than_memory": larger_than_memory,
    "penalty": penalty,
    "sweep": sweep,
    "frontier": frontier,
    "ray": ray,
    "feature_file": feature_file,
    "learning_curve": learning_curve,
    "label_sets": label_sets,
    "suggest": suggest,
    "suspects": suspects,
    "duplicates": duplicates,
    "benchmark": benchmark,
    "sources": sources,
    "backbones": backbones,
}
