"""The penalty of a logistic head: a path from strong to weak, judged by rows that a fit did not see."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from classify.penalized.softmax import Problem, mean_loss, proba_of_own, solve_loosely
from classify.scores.folds import folds_of, judged_by_folds
from classify.scores.temperature import Calibration

PENALTIES = tuple(float(f"{10 ** (place / 2):.3g}") for place in range(-12, 3))  # C, in half decades
FOLDS = 5
_NOTHING_TOLD = 1.0  # C where no row can be judged
_FINER = 10**0.25  # between a penalty of the path and those that are tried beside the best
_RISES = 2  # of the loss, one after the other, that end a path


@dataclass(frozen=True)
class Step:
    """A penalty on a path: C, the log loss of rows that were not seen, and the weights of each fit."""

    C: float
    loss: float
    weights: np.ndarray | None = field(repr=False)


def path(
    problem: Problem, held_out: Problem, penalties: Sequence[float] = PENALTIES, rises: int = _RISES
) -> list[Step]:
    """Fit from the strongest penalty on, each from the one before, until the loss has risen.

    Parameters
    ----------
    problem : Problem
        What the fits learn from.
    held_out : Problem
        What judges them, with as many columns of weights.
    penalties : sequence of float
        C, ascending.
    rises : int
        One after the other.

    Returns
    -------
    list of Step
        The best and the one before it with their weights, others without.
    """
    weights, steps = np.zeros(problem.shape, np.float32), list[Step]()
    for C in penalties:
        weights = solve_loosely(problem, C, weights)
        steps.append(Step(C, mean_loss(held_out, weights), weights))
        least = best(steps)
        steps = [
            step if place >= least - 1 else replace(step, weights=None) for place, step in enumerate(steps)
        ]
        if len(steps) > rises and all(np.diff([step.loss for step in steps[-rises - 1 :]]) > 0):
            break
    return steps


def best(steps: Sequence[Step]) -> int:
    """Return the place of the least loss."""
    return int(np.argmin([step.loss for step in steps]))


def finest(problem: Problem, held_out: Problem, steps: Sequence[Step]) -> Step:
    """Return the best step of a path, or one a quarter of a decade beside it that is better.

    Parameters
    ----------
    problem, held_out : Problem
        As `path` takes them.
    steps : sequence of Step
        As it returns them.
    """
    centre = found = steps[best(steps)]
    for C in (centre.C / _FINER, centre.C * _FINER):
        weights = solve_loosely(problem, C, np.asarray(centre.weights))
        beside = Step(float(f"{C:.3g}"), mean_loss(held_out, weights), weights)
        found = min(found, beside, key=lambda step: step.loss)
    return found


@dataclass(frozen=True)
class Choice:
    """The penalty that is chosen.

    Attributes
    ----------
    C : float
    by : str
        The rows that chose it, in words.
    start : ndarray of shape (1, logits, D + 1)
        Where the fit to all training rows begins.
    calibration : Calibration or None
        By training rows that a fit did not see, where they chose.
    """

    C: float
    by: str
    start: np.ndarray = field(repr=False)
    calibration: Calibration | None = None


def by_validation(problem: Problem, validation: Problem) -> Choice:
    """Choose by the log loss of validation rows.

    Parameters
    ----------
    problem : Problem
        Of one fit.
    validation : Problem
    """
    step = finest(problem, validation, path(problem, validation))
    return Choice(step.C, "validation rows", np.asarray(step.weights))


def by_folds(problem: Problem, groups: np.ndarray) -> Choice:
    """Choose by the log loss of training rows, each judged by a fit that saw neither it nor its group.

    Parameters
    ----------
    problem : Problem
        Of one fit.
    groups : ndarray of int, shape (n,)
        The same for rows that belong together.
    """
    of = folds_of(problem.y, groups, FOLDS, np.random.default_rng(0))
    judged = judged_by_folds(problem.y, of, FOLDS)
    if len(np.unique(problem.y[judged])) < 2:
        return Choice(_NOTHING_TOLD, "no rows: a class has all its rows in one fold", np.zeros(problem.shape))
    mine = of[:, np.newaxis] == np.arange(FOLDS)
    learnt = replace(problem, shares=problem.shares * ~mine)
    held_out = replace(problem, shares=problem.shares * (mine & judged[:, np.newaxis]))
    step = finest(learnt, held_out, path(learnt, held_out))
    weights = np.asarray(step.weights)
    proba = proba_of_own(held_out, weights)[judged]
    start = weights.mean(axis=0, keepdims=True)
    calibration = Calibration.of(proba, problem.y[judged], f"training rows by {FOLDS} folds")
    return Choice(step.C, f"{FOLDS} folds of the training rows", start, calibration)
