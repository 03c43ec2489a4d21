"""The graph of a user's Keras model in a file of its own, as the bundle of a fine-tuned one carries it."""

import json
import shutil
from importlib import import_module
from pathlib import Path

from data.errors import HeadstartError
from data.text import with_type
from extract.backbones.kinds import Own, is_kept, kind_of, missing_model
from extract.model_files.keras_file import digest_of, keep_graph, kept_graph

GRAPH_FILE = "backbone.graph.json"


def carry_graph(name: str, path: Path, weights: Path | None = None) -> None:
    """Write what our cache keeps of a model, without its weights; where it has none, what a bundle brought.

    Parameters
    ----------
    name : str
        ``keras:`` or ``hub:`` and the digest of its graph.
    path : Path
    weights : Path, optional
        The file of its weights in the bundle.
    """
    if weights is not None and not is_kept(name):
        shutil.copyfile(weights.with_name(GRAPH_FILE), path)
        return
    path.write_text(json.dumps({"graph": kept_graph(name), "told": Own.read(name).told()}))


def bring_graph(name: str, weights: Path | None, model: str) -> None:
    """Keep in our cache what `carry_graph` wrote, unless it is there.

    Parameters
    ----------
    name : str
    weights : Path or None
        The file of the model's weights in a bundle, beside which the graph lies.
    model : str
        The file that once brought the model, for who has no such bundle.

    Raises
    ------
    HeadstartError
        If there is no graph, another one, or one that no model file of the user's could bring.
    """
    if is_kept(name):
        return
    if weights is None or not weights.with_name(GRAPH_FILE).is_file():
        raise missing_model(name, f"the file {model!r}")
    path = weights.with_name(GRAPH_FILE)
    try:
        values = json.loads(path.read_bytes())
        graph, own = values["graph"], Own.of(name, values["told"])
        found = digest_of(graph)
    except HeadstartError:
        raise
    except (OSError, ValueError, TypeError, KeyError, IndexError) as error:
        raise _damaged(path, name, with_type(error)) from error
    if found != name.partition(":")[2]:
        raise _damaged(path, name, f"a graph with the digest {found}")
    import_module(kind_of(name).module).check_brought(graph, weights.stat().st_size, own.file)
    keep_graph(own, graph)


def _damaged(path: Path, name: str, received: str) -> HeadstartError:
    return HeadstartError(
        f"the graph of the backbone in {str(path.parent)!r} is damaged",
        f"{path.name} with the graph {name.partition(':')[2]}",
        received,
        "copy the bundle again, or fine-tune again",
    )
