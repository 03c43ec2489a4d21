"""Small Keras nets over features, trained in one compiled loop an epoch."""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from classify.features.blocks import Blocks, shuffled_parts
from classify.heads.linear import PLACES, Schedule
from data.errors import moved_keywords

if TYPE_CHECKING:  # seconds of TensorFlow, which a linear head does not need
    import keras
    import tensorflow as tf


def build_net(
    width: int, units: int, hidden: Sequence[int], dropout: float, l2: float, seed: int
) -> "keras.Sequential":
    """Build dropout and dense layers from features to logits.

    Parameters
    ----------
    width, units : int
        Features and logits.
    hidden : sequence of int
        Units of the hidden layers (ReLU), each behind dropout of its own.
    dropout, l2 : float
    seed : int

    Returns
    -------
    keras.Sequential
    """
    import keras

    layers = [keras.Input((width,))]
    for number, size in enumerate((*hidden, units)):
        last = number == len(hidden)
        layers.append(keras.layers.Dropout(dropout, seed=seed + number))
        layers.append(
            keras.layers.Dense(
                size,
                activation=None if last else "relu",
                kernel_initializer=keras.initializers.GlorotUniform(seed=seed + number),
                kernel_regularizer=keras.regularizers.L2(l2) if l2 else None,
                name="logits" if last else f"hidden_{number}",
            )
        )
    return keras.Sequential(layers)


def loss_of(units: int) -> "keras.Loss":
    """Return Keras' loss of so many logits: of one, the binary cross-entropy."""
    import keras

    kind = keras.losses.SparseCategoricalCrossentropy if units > 1 else keras.losses.BinaryCrossentropy
    return kind(from_logits=True)


def compile_net(model: "keras.Model", learning_rate: float, units: int) -> None:
    """Give a net of so many logits Keras' Adam and its loss."""
    import keras

    model.compile(keras.optimizers.Adam(learning_rate), loss_of(units))


def standardized(model: "keras.Model", mean: np.ndarray, scale: np.ndarray) -> "keras.Sequential":
    """Put the standardization of features in front of a net."""
    import keras

    normalize = keras.layers.Normalization(mean=mean, variance=scale**2)
    return keras.Sequential([keras.Input(mean.shape), normalize, model])


@moved_keywords(PLACES)
def train_net(
    model: "keras.Model",
    X: np.ndarray | Blocks,
    y: np.ndarray,
    schedule: Schedule,
    weights: np.ndarray | None = None,
) -> Iterator[float]:
    """Train a compiled net; each epoch is one call of a compiled loop over the whole matrix.

    `keras.Model.fit` spends most of its time between the steps of so small a net, and in the many
    passes of Keras' Adam over the weights: TensorFlow's fused one has the same arithmetic in one pass.
    Losses and dropout are Keras' own.

    Parameters
    ----------
    model : keras.Model
        From features to logits, as `compile_net` compiles it.
    X : ndarray of float32, or Blocks, of shape (N, D)
        Of blocks, each is one call.
    y : ndarray of int, shape (N,)
    schedule : Schedule
    weights : ndarray of shape (N,), optional
        Of the rows' losses.

    Yields
    ------
    float
        Mean loss of an epoch's batches, penalties included.
    """
    import tensorflow as tf

    variables = model.trainable_variables
    step = _adam(model.optimizer, variables)

    @tf.function
    def run(X: "tf.Tensor", y: "tf.Tensor", weights: "tf.Tensor", order: "tf.Tensor") -> "tf.Tensor":
        total = tf.constant(0.0)
        for first in tf.range(0, tf.shape(order)[0], schedule.batch_size):
            rows = order[first : first + schedule.batch_size]
            with tf.GradientTape() as tape:
                logits = model(tf.gather(X, rows), training=True)
                loss = model.loss(tf.gather(y, rows), logits, sample_weight=tf.gather(weights, rows))
                loss += tf.add_n([tf.constant(0.0), *model.losses])
            step(tape.gradient(loss, variables))
            total += loss * tf.cast(tf.shape(rows)[0], tf.float32)
        return total / tf.cast(tf.shape(order)[0], tf.float32)

    generator = np.random.default_rng(schedule.seed)
    shares = np.ones(len(X), np.float32) if weights is None else weights.astype(np.float32)

    def tensors(places: np.ndarray | slice, part: np.ndarray) -> tuple["tf.Tensor", "tf.Tensor", "tf.Tensor"]:
        return tf.constant(part), tf.constant(y[places], tf.float32), tf.constant(shares[places])

    whole = None if isinstance(X, Blocks) else tensors(slice(None), X)
    for _ in range(schedule.epochs):
        total = 0.0
        for places, part in shuffled_parts(X, generator):
            order = tf.constant(generator.permutation(len(part)), tf.int32)
            total += float(run(*(whole or tensors(places, part)), order)) * (len(part) / len(X))
        yield total


def _adam(
    optimizer: "keras.optimizers.Adam", variables: Sequence["keras.Variable"]
) -> Callable[[Sequence["tf.Tensor"]], None]:
    """Return what steps by gradients, at the learning rate that the optimizer has by then."""
    import tensorflow as tf

    moments = [[tf.Variable(tf.zeros_like(one.value)) for _ in range(2)] for one in variables]
    count = tf.Variable(0.0)

    def step(gradients: Sequence["tf.Tensor"]) -> None:
        count.assign_add(1.0)
        how = {"lr": optimizer.learning_rate.value, "epsilon": optimizer.epsilon}
        for number in (1, 2):
            beta = getattr(optimizer, f"beta_{number}")
            how |= {f"beta{number}": beta, f"beta{number}_power": beta**count}
        for variable, (first, second), gradient in zip(variables, moments, gradients, strict=True):
            places = {"var": variable.value.handle, "m": first.handle, "v": second.handle}
            tf.raw_ops.ResourceApplyAdam(**places, grad=gradient, **how)

    return step


class KerasCallbacks:
    """Keras callbacks of a head: they see each epoch, and may stop the training.

    Parameters
    ----------
    callbacks : sequence of keras.callbacks.Callback
    to_keras : callable
        Returns the head as it is by then, as a Keras model.
    learning_rate : float
    epochs : int
    """

    def __init__(
        self,
        callbacks: Sequence["keras.callbacks.Callback"],
        to_keras: Callable[[], "keras.Model"],
        learning_rate: float,
        epochs: int,
    ) -> None:
        self._callbacks, self._to_keras = list(callbacks), to_keras
        self._learning_rate, self._epochs = learning_rate, epochs
        self._list: keras.callbacks.CallbackList | None = None

    def begin(self) -> None:
        """Tell that training begins; the head has its first weights."""
        if self._callbacks:
            import keras

            self._model = self._to_keras()
            if getattr(self._model, "optimizer", None) is None:
                self._model.compile(keras.optimizers.Adam(self._learning_rate), "mse")
            self._model.stop_training = False
            self._list = keras.callbacks.CallbackList(self._callbacks, model=self._model, epochs=self._epochs)
            self._list.on_train_begin()
            self._list.on_epoch_begin(0)

    def ended(self, epoch: int, logs: dict[str, float]) -> bool:
        """Tell of an epoch's end; return whether training is to stop."""
        if self._list is None:
            return False
        self._model.set_weights(self._to_keras().get_weights())
        self._list.on_epoch_end(epoch, logs)
        if not self._model.stop_training:
            self._list.on_epoch_begin(epoch + 1)
        return self._model.stop_training

    def end(self) -> None:
        """Tell that training has ended."""
        if self._list is not None:
            self._list.on_train_end()
