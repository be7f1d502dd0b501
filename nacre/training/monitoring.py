"""Whether a figure that a callback watches has improved."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from nacre.core.arguments import one_of
from nacre.core.errors import ArgumentError, explain, nearest
from nacre.core.registry import snake_case
from nacre.core.tracebacks import advise

__all__ = ["Monitor"]

BETTER_WHEN_LOWER = frozenset(
    {
        "loss",
        "mse",
        "mae",
        "mape",
        "msle",
        "rmse",
        "bce",
        "kld",
        "kl_divergence",
        "logcosh",
        "log_cosh",
        "log_cosh_error",
        "poisson",
        "hinge",
        "squared_hinge",
        "categorical_hinge",
        "huber",
        "mean_squared_error",
        "mean_absolute_error",
        "mean_absolute_percentage_error",
        "mean_squared_logarithmic_error",
        "root_mean_squared_error",
        "crossentropy",
        "cross_entropy",
        "binary_crossentropy",
        "categorical_crossentropy",
        "sparse_categorical_crossentropy",
        "binary_focal_crossentropy",
        "categorical_focal_crossentropy",
    }
)
BETTER_WHEN_HIGHER = frozenset(
    {
        "acc",
        "accuracy",
        "binary_accuracy",
        "categorical_accuracy",
        "sparse_categorical_accuracy",
        "top_k_categorical_accuracy",
        "sparse_top_k_categorical_accuracy",
        "auc",
        "precision",
        "recall",
        "f1_score",
        "fbeta_score",
        "f_beta_score",
        "precision_at_recall",
        "recall_at_precision",
        "sensitivity_at_specificity",
        "specificity_at_sensitivity",
        "io_u",
        "mean_io_u",
        "binary_io_u",
        "one_hot_io_u",
        "one_hot_mean_io_u",
        "iou",
        "mean_iou",
        "binary_iou",
        "one_hot_iou",
        "one_hot_mean_iou",
        "cosine_similarity",
        "r2_score",
        "pearson_correlation",
        "concordance_correlation",
    }
)


class Monitor:
    """One figure of the logs, and which of two values of it is better.

    Args:
        owner: the callback's name, for messages.
        name: the figure's name, such as ``"val_loss"``.
        mode: ``"min"``, ``"max"``, or ``"auto"`` to know it from the figure's name.
        min_delta: a smaller change is no improvement.
    """

    def __init__(self, owner: str, name: str, mode: str, min_delta: float) -> None:
        self.owner = owner
        self.name = name
        self.mode = one_of(owner, "mode", mode, ("auto", "min", "max"))
        self.min_delta = abs(min_delta)
        self._lower_is_better: bool | None = None if mode == "auto" else mode == "min"
        self._warned = False

    def begin(self) -> None:
        """Forget what was said in the run before."""
        self._warned = False

    def read(self, logs: dict[str, Any]) -> Any:
        """The figure's value; where there is none, None and, once in a run, a warning."""
        value = logs.get(self.name)
        if value is None and not self._warned:
            self._warned = True
            advise(self._missing(logs))
        return value

    def _missing(self, logs: dict[str, Any]) -> str:
        # "val_loss" and "loss" are near in spelling, but one is no slip of the pen for the other.
        needs_validation = self.name.startswith("val_") and self.name.removeprefix("val_") in logs
        guess = nearest(self.name, logs)
        fix = None
        if needs_validation:
            fix = f"pass validation_data to fit, or monitor={self.name.removeprefix('val_')!r}."
        elif guess:
            fix = f"did you mean {guess!r}?"
        return explain(
            f"{self.owner} watches {self.name!r}, which is not among the figures of this run: "
            "the callback does nothing.",
            expected=", ".join(logs) or "(no figure at all)",
            received=repr(self.name),
            fix=fix,
        )

    def improved(self, value: Any, reference: Any, model: Any = None) -> bool:
        """Whether ``value`` is better than ``reference`` by more than ``min_delta``."""
        if reference is None:
            return True
        if self._lower_is_better is None:
            self._lower_is_better = self._direction(model)
        sign = 1 if self._lower_is_better else -1
        # In float32, as the figures are: 0.7 is then not better than 0.8 by more than 0.1.
        with np.errstate(over="ignore"):
            difference = np.float32(value + sign * self.min_delta), np.float32(reference)
        return bool(difference[0] < difference[1] if sign > 0 else difference[0] > difference[1])

    def _direction(self, model: Any) -> bool:
        name = self.name.removeprefix("val_")
        candidates = [name, re.sub(r"_\d+$", "", name)]
        for metric in getattr(model, "metrics", None) or ():
            if getattr(metric, "name", None) == name:
                candidates.append(snake_case(type(metric).__name__))
        for candidate in candidates:
            for lower_is_better, names in ((True, BETTER_WHEN_LOWER), (False, BETTER_WHEN_HIGHER)):
                # An output's name may stand before the metric's: "digit_accuracy".
                if any(candidate == known or candidate.endswith(f"_{known}") for known in names):
                    return lower_is_better
        raise ArgumentError(
            explain(
                f"{self.owner}: whether {self.name!r} should go down or up cannot be known "
                "from its name.",
                expected="mode='min' or mode='max'",
                received=f"mode={self.mode!r}",
                fix=f"{self.owner}(monitor={self.name!r}, mode='max') if higher is better.",
            )
        )
