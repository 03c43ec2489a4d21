"""The sample that ships with scikit-learn and needs no download."""

import numpy as np

from data.sources.arrays import ArraySource, from_arrays

DIGITS_OF_EACH_CLASS = 60


def open_digits(name: str = "digits") -> ArraySource:
    """Open 600 of scikit-learn's handwritten digits, 8x8 pixels, 60 of each class.

    Their values 0..16 are scaled to 0..255.

    Parameters
    ----------
    name : str
        Of the sample; there is one.

    Examples
    --------
    >>> source = open_digits()
    >>> source.images.shape, int(source.images.max())
    ((600, 8, 8), 255)
    """
    from sklearn.datasets import load_digits

    digits = load_digits()
    firsts = [np.flatnonzero(digits.target == name)[:DIGITS_OF_EACH_CLASS] for name in digits.target_names]
    chosen = np.sort(np.concatenate(firsts))
    images = np.rint(digits.images[chosen] * (255 / 16)).astype(np.uint8)
    return from_arrays(images, digits.target[chosen], kind=name)
