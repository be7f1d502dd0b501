"""Callbacks: what a user may run between the compiled calls of training, and the list of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

from nacre.core.errors import ArgumentError, explain

__all__ = ["Callback", "CallbackList"]

Logs = dict[str, Any]

RUN_HOOKS = tuple(
    f"on_{phase}_{moment}" for phase in ("train", "test", "predict") for moment in ("begin", "end")
)
EPOCH_HOOKS = ("on_epoch_begin", "on_epoch_end")
BATCH_HOOKS = tuple(
    f"on_{phase}_batch_{moment}"
    for phase in ("train", "test", "predict")
    for moment in ("begin", "end")
)
OLD_BATCH_HOOKS = {
    "on_train_batch_begin": "on_batch_begin",
    "on_train_batch_end": "on_batch_end",
}


class Callback:
    """Base class of callbacks: override the hooks you need.

    Training runs many steps in one compiled call. A callback with a hook for batches makes it run
    one step a call, a callback with a hook for epochs one epoch a call at most; the other hooks
    cost nothing.

    Attributes:
        model: the model that is trained, evaluated or asked to predict.
        params: a dictionary with ``verbose``, ``epochs`` and ``steps`` (steps in an epoch).
        at_chunk_ends: True in a callback that only reports. Its epoch hooks may then come after
            the fact, for several epochs one after the other, and :meth:`on_chunk_end` tells it of
            every compiled call. The flag covers the hooks of the class that sets it, not those a
            subclass adds.
        most_steps: how many steps the next compiled call may have at most, None for no limit.

    Example:
        >>> from nacre.callbacks import Callback
        >>> class Shout(Callback):
        ...     def on_epoch_end(self, epoch, logs=None):
        ...         print(f"epoch {epoch} done: {logs}!")
        >>> Shout().on_epoch_end(0, {"loss": 0.5})
        epoch 0 done: {'loss': 0.5}!

    Differences from Keras: ``at_chunk_ends``, ``most_steps``, :meth:`resume`, :meth:`on_chunk_end`,
    :meth:`on_pause` and :meth:`release` are ours.
    """

    model: Any = None
    params: Any = None
    at_chunk_ends: bool = False
    most_steps: int | None = None

    def set_params(self, params: dict[str, Any]) -> None:
        """Receive the run's parameters, before it begins."""
        self.params = params

    def set_model(self, model: Any) -> None:
        """Receive the model, before the run begins."""
        self.model = model

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Called when ``fit`` begins."""

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Called when ``fit`` ends, with the last epoch's figures."""

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Called before epoch number ``epoch``, which counts from 0."""

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Called after an epoch and its validation; ``logs`` is what goes into the history.

        All callbacks share ``logs``: what one adds, those after it see.
        """

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Called before step number ``batch`` of the epoch, which counts from 0."""
        self.on_batch_begin(batch, logs=logs)

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Called after a step of training, with the epoch's figures so far."""
        self.on_batch_end(batch, logs=logs)

    def on_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """The older name of :meth:`on_train_batch_begin`."""

    def on_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """The older name of :meth:`on_train_batch_end`."""

    def on_test_begin(self, logs: Logs | None = None) -> None:
        """Called when ``evaluate``, or validation within ``fit``, begins."""

    def on_test_end(self, logs: Logs | None = None) -> None:
        """Called when evaluation or validation ends, with its figures."""

    def on_test_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Called before a batch of evaluation or validation."""

    def on_test_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Called after a batch of evaluation or validation, with the figures so far."""

    def on_predict_begin(self, logs: Logs | None = None) -> None:
        """Called when ``predict`` begins."""

    def on_predict_end(self, logs: Logs | None = None) -> None:
        """Called when ``predict`` ends."""

    def on_predict_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Called before a batch of ``predict``."""

    def on_predict_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Called after a batch of ``predict``."""

    def on_chunk_end(
        self, epoch: int, steps_done: int, steps_total: int | None, examples_done: int, logs: Logs
    ) -> None:
        """Called after each compiled call, before the hooks of the epochs that it finished.

        Also called in ``evaluate`` and ``predict``, as of epoch 0, but not in validation.

        Args:
            epoch: the epoch of the call's last step; the call may have begun epochs earlier.
            steps_done: steps done in that epoch.
            steps_total: steps in an epoch, None while unknown.
            examples_done: examples seen in that epoch.
            logs: that epoch's figures so far.
        """

    def resume(self, model: Any) -> Any:
        """Called before anything else in ``fit``; may set the counters to those of an earlier run.

        Returns that run's :class:`~nacre.saving.run_file.RunState`, or None. If it is not None,
        :meth:`restore` is called when the model has its weights.
        """
        return None

    def restore(self, model: Any) -> None:
        """Give the model the values of the earlier run that :meth:`resume` has found."""

    def on_pause(self, run: Any) -> None:
        """Called between compiled calls of ``fit``, after every other hook of what they did.

        Args:
            run: the :class:`~nacre.training.loop.Fit`, which tells the epoch and the step that
                come next. The model has its present weights.
        """

    def release(self) -> None:
        """Called last, also after an error or an interrupt: close files, give back the screen."""


class CallbackList(Callback):
    """Several callbacks called as one, in order.

    Which hooks are overridden is found out once, so a hook that nobody overrides costs one call of
    an empty loop. As a context manager, it releases its callbacks however the run ends.

    Args:
        callbacks: a callback, a list of them (which may hold lists), or None.
        model: handed to every callback, unless None.
        params: handed to every callback, unless None.

    Attributes:
        callbacks: the callbacks, in order.
        needs_batches: whether one must be called at every step of training.
        needs_test_batches: the same for steps of evaluation.
        needs_predict_batches: the same for steps of ``predict``.
        needs_epochs: whether one must be called between epochs.
        needs_chunks: whether one wants to know of every compiled call.

    Raises:
        ArgumentError: if an item is not a callback.

    Example:
        >>> from nacre.callbacks import Callback, CallbackList, History
        >>> CallbackList([History()]).needs_epochs
        False
    """

    def __init__(
        self, callbacks: Any = None, model: Any = None, params: dict[str, Any] | None = None
    ) -> None:
        self.callbacks = list(_flattened(callbacks))
        self.needs_batches = self._needs("on_train_batch_begin", "on_train_batch_end")
        self.needs_test_batches = self._needs("on_test_batch_begin", "on_test_batch_end")
        self.needs_predict_batches = self._needs("on_predict_batch_begin", "on_predict_batch_end")
        self.needs_epochs = self._needs(*EPOCH_HOOKS)
        self.needs_chunks = any(_overrides(c, "on_chunk_end") for c in self.callbacks)
        self._bind()
        if model is not None:
            self.set_model(model)
        if params is not None:
            self.set_params(params)

    def _needs(self, *names: str) -> bool:
        return any(
            _hook(callback, name) and not _comes_after_the_fact(callback, name)
            for callback in self.callbacks
            for name in names
        )

    def _bind(self) -> None:
        for names, in_turn in (
            (RUN_HOOKS, _run_hooks_in_turn),
            (EPOCH_HOOKS, _epoch_hooks_in_turn),
            (BATCH_HOOKS, _batch_hooks_in_turn),
            (("on_chunk_end",), _chunk_hooks_in_turn),
            (("on_pause",), _run_hooks_in_turn),
        ):
            for name in names:
                hooks = [hook for c in self.callbacks if (hook := _hook(c, name))]
                setattr(self, name, in_turn(hooks))

    @property
    def most_steps(self) -> int | None:  # type: ignore[override]
        """The least of the callbacks' limits to the next compiled call."""
        limits = [c.most_steps for c in self.callbacks if c.most_steps is not None]
        return min(limits, default=None)

    def resume(self, model: Any) -> Any:
        """Where the first callback that knows of an earlier run says that it stood."""
        for callback in self.callbacks:
            state = callback.resume(model)
            if state is not None:
                self.restore = callback.restore
                return state
        return None

    def set_model(self, model: Any) -> None:
        super().set_model(model)
        for callback in self.callbacks:
            callback.set_model(model)

    def set_params(self, params: dict[str, Any]) -> None:
        super().set_params(params)
        for callback in self.callbacks:
            callback.set_params(params)

    def on_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        self.on_train_batch_begin(batch, logs)

    def on_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        self.on_train_batch_end(batch, logs)

    def release(self) -> None:
        with ExitStack() as stack:  # every callback is released, even if one of them raises
            for callback in reversed(self.callbacks):
                stack.callback(callback.release)

    def __iter__(self) -> Iterator[Callback]:
        return iter(self.callbacks)

    def __enter__(self) -> CallbackList:
        return self

    def __exit__(self, *error: object) -> None:
        self.release()


def _flattened(callbacks: Any) -> Iterator[Callback]:
    if callbacks is None:
        return
    if isinstance(callbacks, list | tuple | CallbackList):
        for item in callbacks:
            yield from _flattened(item)
    elif isinstance(callbacks, Callback):
        yield callbacks
    else:
        is_class = isinstance(callbacks, type) and issubclass(callbacks, Callback)
        fix = "derive your class from nacre.callbacks.Callback, or use LambdaCallback."
        if is_class:
            fix = f"make one of the class: {callbacks.__name__}()."
        raise ArgumentError(
            explain(
                "callbacks holds something that is not a callback.",
                expected="a nacre.callbacks.Callback or a list of them",
                received=repr(callbacks),
                fix=fix,
            )
        )


def _overrides(callback: Callback, name: str) -> bool:
    function = getattr(getattr(callback, name), "__func__", None)
    return function is not getattr(Callback, name)


def _hook(callback: Callback, name: str) -> Callable[..., Any] | None:
    """The method to call for a hook, or None if the callback does not override it."""
    for candidate in (name, OLD_BATCH_HOOKS.get(name, name)):
        if _overrides(callback, candidate):
            return getattr(callback, candidate)
    return None


def _comes_after_the_fact(callback: Callback, name: str) -> bool:
    """Whether ``at_chunk_ends`` covers the hook: its class set the flag, or a subclass did."""
    if not callback.at_chunk_ends or name in vars(callback):
        return False
    return issubclass(_definer(callback, "at_chunk_ends"), _definer(callback, name))


def _definer(callback: Callback, name: str) -> type:
    if name in vars(callback):
        return type(callback)
    return next(cls for cls in type(callback).__mro__ if name in vars(cls))


# Callbacks may rely on how Keras calls them: an empty dictionary instead of None, logs by position
# in the hooks of runs and epochs, by name in those of batches.


def _run_hooks_in_turn(hooks: list[Callable[..., Any]]) -> Callable[..., None]:
    def call(logs: Logs | None = None) -> None:
        logs = {} if logs is None else logs
        for hook in hooks:
            hook(logs)

    return call


def _epoch_hooks_in_turn(hooks: list[Callable[..., Any]]) -> Callable[..., None]:
    def call(epoch: int, logs: Logs | None = None) -> None:
        logs = {} if logs is None else logs
        for hook in hooks:
            hook(epoch, logs)

    return call


def _batch_hooks_in_turn(hooks: list[Callable[..., Any]]) -> Callable[..., None]:
    def call(batch: int, logs: Logs | None = None) -> None:
        logs = {} if logs is None else logs
        for hook in hooks:
            hook(batch, logs=logs)

    return call


def _chunk_hooks_in_turn(hooks: list[Callable[..., Any]]) -> Callable[..., None]:
    def call(
        epoch: int, steps_done: int, steps_total: int | None, examples_done: int, logs: Logs
    ) -> None:
        for hook in hooks:
            hook(epoch, steps_done, steps_total, examples_done, logs)

    return call
