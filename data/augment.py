"""Seeded flips and rotations: the augmentation of the Keras guide."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # Keras takes seconds to import
    import keras

ROTATION = 0.1  # of a whole turn, to either side


def augmentation(seed: int) -> "keras.Sequential":
    """Build random horizontal flips and rotations, of stock Keras layers.

    Source: the guide "Transfer learning and fine-tuning" of Keras. Corners that a rotation
    leaves empty are filled by reflection.

    Parameters
    ----------
    seed : int
        The same seed gives the same sequence of augmentations.

    Returns
    -------
    keras.Sequential
        From pixels (B, H, W, 3) to pixels of the same shape and range; with ``training=False``
        it changes nothing.

    Examples
    --------
    >>> import numpy as np
    >>> image = np.arange(48, dtype="float32").reshape(1, 4, 4, 3)
    >>> one, other = (np.asarray(augmentation(7)(image, training=True)) for _ in range(2))
    >>> bool((one == other).all()), bool((one == image).all())
    (True, False)
    """
    import keras

    return keras.Sequential(
        [
            keras.layers.RandomFlip("horizontal", seed=seed),
            keras.layers.RandomRotation(ROTATION, seed=seed),
        ],
        name="augmentation",
    )
