"""What parameters of heads, trainings and sweeps may be; each of them has its default where it is used."""

from data.allowed import YES_OR_NO, AnyOf, Choice, Number, Other, Several, Table, whole

_NOT_GIVEN = Choice(None)
POSITIVE, SHARE = Number(0, above=True), Number(0, 1)
SEED = whole(0, 2**32 - 1)  # what numpy's and scikit-learn's generators take
_WIDEST = 2**16  # a layer whose weights from 2,048 features take half a gigabyte
_RATE = Number(0, 10, above=True)  # a step of Adam moves a weight by about so much


def _are_weights(value: object) -> bool:
    return isinstance(value, dict) and len(value) > 0 and all(map(Number(0).takes, value.values()))


def _are_callbacks(value: object) -> bool:
    return isinstance(value, list | tuple) and all(hasattr(one, "on_epoch_end") for one in value)


CLASS_WEIGHT = AnyOf(
    Choice(None, "balanced"), Other("a dictionary from each class to its weight, 0 or more", _are_weights)
)
KERAS: Table = {
    "hidden": Several(whole(1, _WIDEST)),
    "standardize": YES_OR_NO,
    "dropout": Number(0, 1, below=True),
    "learning_rate": _RATE,
    "l2": Number(0),
    "epochs": whole(1),
    "batch_size": whole(1),
    "patience": AnyOf(_NOT_GIVEN, whole(1)),
    "class_weight": CLASS_WEIGHT,
    "build": AnyOf(_NOT_GIVEN, Other("a function that makes a Keras model", callable)),
    "callbacks": Other("a list of Keras callbacks", _are_callbacks),
    "seed": SEED,
}
# Of estimators of ours, which check them again when they are fitted; those of others stand in their entries.
LOGISTIC: Table = {
    "C": AnyOf(Choice("auto"), POSITIVE),
    "max_iter": whole(1),
    "class_weight": CLASS_WEIGHT,
    "tol": POSITIVE,
    "standardize": YES_OR_NO,
}
LINEAR_SVM: Table = {"C": POSITIVE, "seed": SEED}
RIDGE: Table = {"alphas": Several(POSITIVE, fewest=1), "standardize": YES_OR_NO}
ROWS = AnyOf(_NOT_GIVEN, whole(1))
# Of a training with the backbone in the graph, of a comparison of such, of a frontier, and of a sweep.
TRAINING: Table = {
    **{name: KERAS[name] for name in ("learning_rate", "epochs", "batch_size", "seed")},
    "patience": whole(1),
    "rows": ROWS,
    "augment": YES_OR_NO,
}
BENCHMARK: Table = {
    "rows": ROWS,
    "budget": AnyOf(_NOT_GIVEN, Number(0)),
    "target": AnyOf(_NOT_GIVEN, SHARE),
    "seed": SEED,
}
_LIMIT = AnyOf(_NOT_GIVEN, POSITIVE)
FRONTIER: Table = {
    "rows": whole(20),
    "sizes": Several(whole(1)),
    "budget": _LIMIT,
    "images_per_second": _LIMIT,
    "threads": ROWS,
    "seed": SEED,
}
SWEEP: Table = {
    "seeds": whole(1),
    "trials": whole(1),
    "jobs": AnyOf(whole(1), Choice(-1)),
    "choose_by": Choice("log_loss", "accuracy", "balanced_accuracy"),
    "cv": AnyOf(_NOT_GIVEN, Choice(0), whole(2)),
    "budget": AnyOf(_NOT_GIVEN, POSITIVE),
    "exhaustive": YES_OR_NO,
}
