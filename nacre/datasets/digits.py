"""The 1,797 handwritten digits, 8 x 8 grey, of scikit-learn: real data without a network."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

from nacre.core.errors import BuildError, explain
from nacre.datasets.splitting import Split, shuffled_split

__all__ = ["load_data"]


def load_data(test_split: float = 0.2, seed: int = 113) -> tuple[Split, Split]:
    """Load the digits and split them at random.

    Args:
        test_split: the share of the 1,797 digits that is kept for testing.
        seed: the seed of the split.

    Returns:
        ``(x_train, y_train), (x_test, y_test)``: images of shape ``(N, 8, 8)``, uint8 from 0
        (paper) to 16 (ink), and digits of shape ``(N,)``, uint8 from 0 to 9.

    Raises:
        BuildError: if scikit-learn is not installed.
        ArgumentError: if ``test_split`` is not in ``[0, 1)``.

    Example:
        >>> (x_train, y_train), (x_test, y_test) = load_data()  # doctest: +SKIP
        >>> x_train.shape, x_test.shape  # doctest: +SKIP
        ((1437, 8, 8), (360, 8, 8))

    Reference:
        E. Alpaydin, C. Kaynak: Optical recognition of handwritten digits. UCI Machine Learning
        Repository (1998), its test part.
    """
    digits = _scikit_learn_datasets().load_digits()
    return shuffled_split(
        digits.images.astype(np.uint8), digits.target.astype(np.uint8), test_split, seed
    )


def _scikit_learn_datasets() -> Any:
    try:
        return importlib.import_module("sklearn.datasets")
    except ImportError:
        raise BuildError(
            explain(
                "The data set 'digits' is read from scikit-learn, which is not installed.",
                fix="pip install scikit-learn",
            )
        ) from None
