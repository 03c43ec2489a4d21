"""A head is fitted, and what it cannot learn from is told."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from classify.head import Head, taken_by
from data.errors import HeadstartError
from data.text import one_line


def fit_head(
    head: Head,
    X: np.ndarray,
    y: np.ndarray,
    X_val: np.ndarray | None = None,
    y_val: np.ndarray | None = None,
    groups: Sequence[str] | None = None,
) -> Head:
    """Fit a head; those that choose by validation rows, or by folds of groups, get them.

    Validation rows of classes that training has not are left out: no head can choose by them.

    Raises
    ------
    HeadstartError
        If the head cannot learn from these rows, with its reason.
    """
    chosen_by = taken_by(head.fit, groups=groups)
    if X_val is not None and y_val is not None and (known := np.isin(y_val, y)).any():
        chosen_by |= taken_by(head.fit, X_val=X_val[known], y_val=y_val[known])
    with explained(head):
        head.fit(X, y, **chosen_by).predict_proba(X[:1])  # more neighbours than rows are noticed here
    return head


@contextmanager
def explained(head: Head) -> Iterator[None]:
    """Turn what scikit-learn says of rows or parameters into a user's error.

    Raises
    ------
    HeadstartError
        In place of a ValueError.
    """
    try:
        yield
    except HeadstartError:
        raise
    except ValueError as error:
        last = head.steps[-1][1] if hasattr(head, "steps") else head
        raise HeadstartError(
            f"the head {type(last).__name__} cannot learn from these rows",
            "finite features, and parameters that fit the rows",
            one_line(error),
            "correct its parameters (--param, --class-weight), or choose another head",
        ) from error
