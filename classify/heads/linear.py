"""Linear heads in numpy: many learning rates and penalties share each pass over the matrix."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
from threadpoolctl import threadpool_limits

from classify.features.blocks import Blocks, shuffled_parts
from classify.scores.calibration import flat, number_of_logits, probabilities
from data.errors import moved_keywords

_BETA_1, _BETA_2, _EPSILON = 0.9, 0.999, 1e-7  # Keras' own of Adam
_LEVELS = 2**8  # of the random number that decides whether dropout keeps a feature


@dataclass(frozen=True)
class Hyperparameters:
    """What may differ between linear heads that are trained together.

    Attributes
    ----------
    learning_rate : float
        Of Adam.
    l2 : float
        Penalty: this times the sum of squared weights is added to the loss.
    """

    learning_rate: float = 1e-3
    l2: float = 0.0


@dataclass(frozen=True)
class Schedule:
    """How often a training goes over the rows, and in which steps.

    Attributes
    ----------
    epochs, batch_size : int
    seed : int
        Of the order of rows; of a linear head also of its first kernel and its dropout.
    dropout : float
        Share of the features that a step of a linear head does not see; a net has layers for it.
    """

    epochs: int = 20
    batch_size: int = 32
    seed: int = 0
    dropout: float = 0.2


PLACES = {field.name: f"Schedule({field.name}=...)" for field in fields(Schedule)}


@dataclass
class Progress:
    """Where a training is after an epoch.

    Attributes
    ----------
    epoch : int
        From 0.
    kernels : ndarray of float32, shape (S, D, U)
        One for each head; U is 1 for two classes, else their number.
    biases : ndarray of float32, shape (S, U)
    losses : ndarray of shape (S,)
        Mean over the batches of the epoch, without the penalty.
    """

    epoch: int
    kernels: np.ndarray
    biases: np.ndarray
    losses: np.ndarray


@moved_keywords(PLACES)
def train_linear(
    X: np.ndarray | Blocks,
    y: np.ndarray,
    units: int,
    hyperparameters: Sequence[Hyperparameters],
    schedule: Schedule,
    weights: np.ndarray | None = None,
) -> Iterator[Progress]:
    """Train dense layers on logits by Adam, all on the same batches and dropout masks.

    One matrix product serves the logits of all and another one their gradients, so that 64 cost
    little more than one. The arithmetic is that of Keras' Adam, dropout
    and cross-entropy from logits.

    Source: D. P. Kingma, J. Ba (2015), Adam: a method for stochastic optimization; in Keras'
    form, with the bias corrections in the step size.

    Parameters
    ----------
    X : ndarray of float32, or Blocks, of shape (N, D)
        An epoch goes through the blocks in a new order, and through the rows of each in a new order.
    y : ndarray of int, shape (N,)
        Class indices.
    units : int
        1 for two classes (one logit, a sigmoid), else the number of classes (a softmax).
    hyperparameters : sequence of Hyperparameters
        Of each head.
    schedule : Schedule
    weights : ndarray of shape (N,), optional
        Of the rows' losses.

    Yields
    ------
    Progress
        After each epoch; its arrays change with the next one.
    """
    generator = np.random.default_rng(schedule.seed)
    adam = _Adam(glorot(generator, X.shape[1], units), hyperparameters)
    step = _Step(adam, units, schedule.dropout, generator)
    for epoch in range(schedule.epochs):
        losses = np.zeros(len(hyperparameters))
        for places, part in shuffled_parts(X, generator):
            targets = _targets(y[places], units)
            shares = None if weights is None else weights[places]
            order = generator.permutation(len(part))
            for first in range(0, len(part), schedule.batch_size):
                rows = order[first : first + schedule.batch_size]
                chosen = None if shares is None else shares[rows]
                losses += step(part[rows], targets[rows], chosen) * len(rows)
        yield Progress(epoch, *adam.weights(units), losses / len(X))


def glorot(generator: np.random.Generator, inputs: int, outputs: int) -> np.ndarray:
    """Draw Glorot's uniform kernel (X. Glorot, Y. Bengio, 2010).

    Examples
    --------
    >>> glorot(np.random.default_rng(0), 3, 1).shape
    (3, 1)
    """
    limit = (6 / (inputs + outputs)) ** 0.5
    return generator.uniform(-limit, limit, (inputs, outputs)).astype(np.float32)


def train_group(
    configurations: Sequence[Mapping[str, float]], seed: int, X: np.ndarray, y: np.ndarray, X_val: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Train heads of one dropout rate in one pass an epoch.

    Parameters
    ----------
    configurations : sequence of mapping
        Of ``dropout``, the same in all, ``learning_rate`` and ``l2``.
    seed : int
    X, y, X_val : ndarray

    Yields
    ------
    probabilities : ndarray of float64, shape (M, K)
        Of the validation rows, by each configuration in its order.
    classes : ndarray of shape (K,)
    """
    classes, targets = np.unique(y, return_inverse=True)
    hyperparameters = [Hyperparameters(one["learning_rate"], one["l2"]) for one in configurations]
    schedule = Schedule(seed=seed, dropout=configurations[0]["dropout"])
    with threadpool_limits(1, "blas"):  # the products of a batch are too small to share out
        *_, last = train_linear(
            np.asarray(X, np.float32), targets, number_of_logits(len(classes)), hyperparameters, schedule
        )
    for kernel, bias in zip(last.kernels, last.biases, strict=True):
        yield probabilities(flat(X_val @ kernel + bias)), classes


def _targets(y: np.ndarray, units: int) -> np.ndarray:
    """Return 0 and 1 by row and unit."""
    if units == 1:
        return y.astype(np.float32)[:, np.newaxis]
    return np.eye(units, dtype=np.float32)[y]


class _Step:
    """One batch through all heads."""

    def __init__(self, adam: "_Adam", units: int, dropout: float, generator: np.random.Generator):
        self._adam, self._units, self._generator = adam, units, generator
        self._dropout = dropout

    def __call__(self, X: np.ndarray, targets: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
        if self._dropout:
            X = self._dropped(X)
        logits = (X @ self._adam.kernels.T + self._adam.biases.T).reshape(len(X), -1, self._units)
        gradient, losses = _cross_entropy(logits, targets[:, np.newaxis])
        if weights is not None:
            gradient *= weights[:, np.newaxis, np.newaxis]
            losses *= weights[:, np.newaxis]
        gradient = gradient.reshape(len(X), -1)
        gradient *= np.float32(1 / len(X))
        self._adam(X, gradient)
        return losses.mean(axis=0)

    def _dropped(self, X: np.ndarray) -> np.ndarray:
        """Return features of which dropout took some, and made up for it in the others.

        A byte decides on each; the threshold is rounded up or down at random, so that the share is
        exact over many batches.
        """
        words = self._generator.bit_generator.random_raw(-(-X.size // 8))
        threshold = int(self._dropout * _LEVELS + self._generator.random())
        kept = words.view(np.uint8)[: X.size].reshape(X.shape) >= threshold
        dropped = X * kept
        dropped *= np.float32(1 / (1 - self._dropout))
        return dropped


def _cross_entropy(logits: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the gradient by logits (B, S, U) and the losses (B, S)."""
    if logits.shape[2] == 1:
        small = np.exp(-np.abs(logits))
        total = 1 + small
        losses = np.maximum(logits, 0) - logits * targets + np.log(total)
        return np.where(logits >= 0, 1, small) / total - targets, losses[..., 0]
    shifted = logits - logits.max(axis=2, keepdims=True)
    shares = np.exp(shifted)
    total = shares.sum(axis=2, keepdims=True)
    losses = (np.log(total) - shifted) * targets
    return shares / total - targets, losses.sum(axis=2)


class _Adam:
    """Adam over the kernels and biases of all heads, side by side."""

    def __init__(self, kernel: np.ndarray, hyperparameters: Sequence[Hyperparameters]):
        units = kernel.shape[1]
        self.kernels = np.tile(kernel.T, (len(hyperparameters), 1))  # a row for each unit of each head
        self.biases = np.zeros((len(self.kernels), 1), np.float32)
        rates, l2 = np.array([[one.learning_rate, 2 * one.l2] for one in hyperparameters], np.float32).T
        self._rates, l2 = (np.repeat(values, units)[:, np.newaxis] for values in (rates, l2))
        self._l2 = l2 if l2.any() else None
        self._gradient = np.empty_like(self.kernels)
        self._states = [_Moments(self.kernels), _Moments(self.biases)]
        self._count = 0

    def __call__(self, X: np.ndarray, gradient: np.ndarray) -> None:
        """Step by the gradient of the logits, shape (B, S * U), on the features X."""
        self._count += 1
        correction = (1 - _BETA_2**self._count) ** 0.5 / (1 - _BETA_1**self._count)
        rates = self._rates * np.float32(correction * (1 - _BETA_1) / (1 - _BETA_2) ** 0.5)
        np.matmul(gradient.T, X, out=self._gradient)
        self._states[0].update(self._gradient, rates, self._l2)
        self._states[1].update(gradient.sum(axis=0)[:, np.newaxis], rates)

    def weights(self, units: int) -> tuple[np.ndarray, np.ndarray]:
        """Return kernels (S, D, U) and biases (S, U), as views."""
        kernels = self.kernels.reshape(-1, units, self.kernels.shape[1]).transpose(0, 2, 1)
        return kernels, self.biases.reshape(-1, units)


class _Moments:
    """Decayed sums of one variable's gradient and of its square, and room for what lies between.

    Keras' moments are these sums times ``1 - beta``: the factors are left to the rates and to epsilon,
    which saves passes over memory.
    """

    def __init__(self, variable: np.ndarray):
        self._variable, self._room = variable, np.empty_like(variable)
        self._first, self._second = np.zeros_like(variable), np.zeros_like(variable)

    def update(self, gradient: np.ndarray, rates: np.ndarray, l2: np.ndarray | None = None) -> None:
        """Move the variable; `gradient` is used up."""
        room = self._room
        if l2 is not None:
            np.multiply(self._variable, l2, out=room)
            gradient += room
        self._first *= np.float32(_BETA_1)
        self._first += gradient
        gradient *= gradient
        self._second *= np.float32(_BETA_2)
        self._second += gradient
        np.sqrt(self._second, out=room)
        room += np.float32(_EPSILON / (1 - _BETA_2) ** 0.5)
        np.divide(self._first, room, out=room)
        room *= rates
        self._variable -= room
