"""frontier(): recipes tried on a sample of a source, and what comes of it as one document."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from classify.frontier.advice import Place, commands
from classify.frontier.budget import Budget
from classify.frontier.compare import difference
from classify.frontier.extraction import Say, Workshop
from classify.frontier.figure import write_figure
from classify.frontier.front import Contender, alike, best_of, named, pareto
from classify.frontier.grid import Request, layers_worth_pooling, passes, too_small
from classify.frontier.race import Race
from classify.frontier.record import FIGURE, begin, measured_on, speeds_of, write
from classify.frontier.sample import draw_sample
from data.errors import HeadstartError, unknown_name
from data.sources.source import Source, as_source
from data.tables.groups import Groups
from data.text import some_of
from extract.backbones.build import layer_names
from extract.run.scan import grouped, scan_source


def frontier(
    source: Source | str | Path,
    folder: str | Path,
    request: Request | None = None,
    *,
    groups: Groups | None = None,
    place: Place | None = None,
    say: Say = lambda text: None,
) -> dict:
    """Try recipes on a sample of a source: how good are the features, and what would all of them cost?

    Parameters
    ----------
    source : Source, str or Path
    folder : str or Path
        Keeps the sample's features, which a later call and ``extract run --reuse`` take, with
        ``frontier.json`` and ``frontier.png``.
    request : Request, optional
    groups : Groups, optional
        Images that belong together.
    place : Place, optional
        For the commands in the result; by default the folder of the source.
    say : callable
        Called with what is being done.

    Returns
    -------
    dict
        Ready for JSON: ``recipes``, each with ``log_loss``, ``accuracy``, ``images_per_second``,
        what all images of the source are ``projected`` to take, ``on_front`` and
        ``against_best``; ``best``, ``named``, ``alike``; ``stopped`` and ``left_out``; ``commands``.
        Where none is within the limits ``named`` is None, and ``unmet`` has the four parts that say why.

    Raises
    ------
    HeadstartError
        If the source is too small, or no recipe can be tried.
    KeyboardInterrupt
        With what is kept.

    Examples
    --------
    >>> frontier("photos/", "photos-frontier", Request(budget=6))["named"]  # doctest: +SKIP
    'xception 299 px int8'
    """
    request, folder, source = request or Request(), Path(folder), as_source(source)
    budget = Budget(request.budget)
    by_backbone = _layers(request)
    place = place or Place(str(source.location or "SOURCE"))
    record = begin(folder)
    _tell_other(folder, record.get("source"), place.text, say)
    scan = scan_source(source)
    scan = grouped(scan, groups) if groups else scan
    sample = draw_sample(source, scan, request.rows, request.seed)
    _tell_sample(source, sample.left_out, say)
    shop = Workshop(source, scan, sample, folder, request)
    race = Race(shop, budget, say, speeds_of(record, request.threads), passes(request, by_backbone))
    for name, reason in [*too_small(request), *_without(request, by_backbone)]:
        race.leave(name, reason)
    try:
        race.run()
    except KeyboardInterrupt:
        kept = f"features and speeds so far are kept in {folder}: the same line goes on"
        raise KeyboardInterrupt(f"interrupted; {kept}") from None
    finally:
        _keep_speeds(folder, record, race)
    found = _document(race, len(scan.rows))
    found |= {"source": place.text, **_chosen(race, len(scan.rows), place)}
    _keep_speeds(folder, found, race)
    found["figure"] = str(write_figure(folder / FIGURE, found))
    _keep_speeds(folder, found, race)
    return found


def _layers(request: Request) -> dict[str, list[str]]:
    """Return which layers of each backbone are tried; raise where none of them has one that is named."""
    if request.worth_pooling:
        return {name: layers_worth_pooling(name) for name in request.backbones}
    if not request.layers:
        return {}
    known = {name: layer_names(name) for name in request.backbones}
    every = {layer for names in known.values() for layer in names}
    for layer in request.layers:
        if layer not in every:
            raise unknown_name("layer", layer, every)
    return {name: [layer for layer in request.layers if layer in names] for name, names in known.items()}


def _without(request: Request, by_backbone: Mapping[str, Sequence[str]]) -> list[tuple[str, str]]:
    """Return the layers that are named and that some backbones lack, with the reason."""
    if request.worth_pooling:
        return []
    return [
        (f"{backbone} {layer}", "it has no layer of that name")
        for backbone, known in by_backbone.items()
        for layer in dict.fromkeys(request.layers)
        if layer not in known
    ]


def _tell_other(folder: Path, before: object, now: str, say: Say) -> None:
    if before not in (None, now):
        say(f"warning: {folder} holds the recipes of {before!r}; those of {now!r} take their place")


def _tell_sample(source: Source, left_out: Sequence[str], say: Say) -> None:
    if left_out:
        say(f"warning: too few images for folds, left out of the sample: {some_of(left_out, 5)}")


def _keep_speeds(folder: Path, found: dict, race: Race) -> None:
    """Write the record with the speeds that are known by now."""
    known = {**race.recorded, **race.speeds}
    speeds = {key: [speed.images, speed.seconds] for key, speed in known.items()}
    write(folder, {**found, "measured_on": measured_on(race.shop.request.threads), "speeds": speeds})


def _chosen(race: Race, images: int, place: Place) -> dict:
    """Return which is named with its commands, or why none is."""
    try:
        chosen = named(race.finished, race.shop.request, images)
    except HeadstartError as error:
        parts = ("happened", "expected", "received", "todo")
        return {"named": None, "commands": [], "unmet": {part: getattr(error, part) for part in parts}}
    entrants = [race.entrants[each] for each in chosen.passes]
    return {"named": chosen.name, "commands": commands(place, entrants), "unmet": None}


def _document(race: Race, images: int) -> dict:
    best, finished = best_of(race.finished), race.finished
    front, near = pareto(finished), alike(finished, race.stopped, best)
    several = max(1, len(finished) + len(race.stopped) - 1)
    recipes = []
    for each in sorted(finished, key=lambda each: -each.images_per_second):
        against = None if each is best else difference(each.judged, best.judged, several).to_dict()
        recipes.append({**_told(each, race, images), "on_front": each in front, "against_best": against})
    return {
        "rows": best.judged.rows,
        "unreadable": race.rows - best.judged.rows,
        "wanted_rows": race.shop.request.rows,
        "images": images,
        "classes": race.shop.sample.classes,
        "comparisons": several,
        "recipes": recipes,
        "best": best.name,
        "alike": [each.name for each in near],
        "stopped": [_told_stopped(each, race, images) for each in race.stopped],
        "left_out": [{"name": each.name, "reason": each.reason} for each in race.left_out],
        "seconds": round(race.budget.taken, 1),
    }


def _told_stopped(each: Contender, race: Race, images: int) -> dict:
    return {**_told(each, race, images), "behind": each.behind.name if each.behind else None}


def _told(each: Contender, race: Race, images: int) -> dict:
    report = each.judged.found.report()
    entrants = [race.entrants[one] for one in each.passes]
    return {
        "name": each.name,
        "passes": [
            {
                "backbone": entrant.of.backbone,
                "image_size": entrant.of.size,
                "arithmetic": entrant.of.arithmetic,
                "layers": list(entrant.of.layers),
                "recipe_key": entrant.recipe.key,
                "file": str(entrant.path),
            }
            for entrant in entrants
        ],
        "rows": each.judged.rows,
        "log_loss": report["log_loss"],
        "accuracy": report["accuracy"],
        "images_per_second": round(each.images_per_second, 2),
        "speed_is_uncertain": each.is_uncertain,
        "width": each.width,
        "projected": {
            "seconds": round(each.seconds(images), 1),
            "bytes": round(each.row_bytes * images),
        },
    }
