"""What a metric is: totals that every batch adds to, and a result computed from them.

The totals are a dictionary of arrays and the methods are pure, so a metric runs inside compiled
programs. Beside that stands Keras's face, which keeps the totals inside the object.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax

from nacre import initializers
from nacre.core.configurable import Configurable
from nacre.core.registry import snake_case
from nacre.core.scope import Scope
from nacre.core.variables import Variable

__all__ = ["Metric", "State"]

State = dict[str, Any]


class Metric(Configurable):
    """Base class of metrics. A subclass defines ``init``, ``update`` and ``compute``.

    A subclass may be written in Keras's way instead: variables from ``add_variable`` in the
    constructor, an ``update_state`` that assigns to them, and a ``result`` that reads them.

    Args:
        dtype: the type of the totals, float32 by default.
        name: the name in histories; the class's own by default.

    Example:
        >>> import jax.numpy as jnp
        >>> from nacre import metrics
        >>> class Largest(metrics.Metric):
        ...     def init(self):
        ...         return {"largest": jnp.zeros(())}
        ...     def update(self, state, y_true, y_pred, sample_weight=None):
        ...         return {"largest": jnp.maximum(state["largest"], y_pred.max())}
        ...     def compute(self, state):
        ...         return state["largest"]
        >>> metric = Largest()
        >>> metric.update_state(None, jnp.array([1.0, 3.0]))
        >>> float(metric.result())
        3.0
    """

    def __init__(self, dtype: Any = None, name: str | None = None) -> None:
        self.name = name or snake_case(type(self).__name__)
        self.dtype = dtype
        self._held: State | None = None
        self._variables: dict[str, tuple[Variable, jax.Array]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        own = vars(cls)
        if "update_state" in own and "update" not in own:
            cls.update = _update_in_kerass_way
        if "result" in own and "state" not in inspect.signature(own["result"]).parameters:
            cls.result = _taking_a_state(own["result"])

    # Pure

    def init(self) -> State:
        """The totals before the first batch."""
        return {name: initial for name, (_, initial) in self._variables.items()}

    def update(self, state: State, *args: Any, **kwargs: Any) -> State:
        """The totals after a batch: ``update(state, y_true, y_pred, sample_weight=None)``."""
        raise NotImplementedError(f"{type(self).__name__} defines neither update nor update_state.")

    def compute(self, state: State) -> Any:
        """The value of the metric, from its totals."""
        raise NotImplementedError(f"{type(self).__name__} defines neither compute nor result.")

    def result(self, state: State | None = None) -> Any:
        """The value of the metric, from ``state`` or from the totals inside."""
        return self.compute(self._totals() if state is None else state)

    # With the totals inside

    def update_state(self, *args: Any, **kwargs: Any) -> None:
        """Add a batch to the totals inside."""
        self._held = self._pure_update()(self, self._totals(), *args, **kwargs)

    def reset_state(self) -> None:
        """Set the totals inside back to what they were before the first batch."""
        self._held = None
        for variable, initial in self._variables.values():
            variable.assign(initial)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Add a batch and return the result so far."""
        self.update_state(*args, **kwargs)
        return self.result()

    def add_variable(
        self,
        shape: Sequence[int] = (),
        initializer: Any = "zeros",
        dtype: Any = None,
        name: str | None = None,
    ) -> Variable:
        """A total of a metric that is written in Keras's way."""
        name = name or f"variable_{len(self._variables)}"
        dtype = dtype or self.dtype or "float32"
        draw = initializers.get(initializer)
        variable = Variable(draw, shape=shape, dtype=dtype, trainable=False, name=name)
        self._variables[name] = (variable, variable.concrete())
        return variable

    add_weight = add_variable

    @property
    def variables(self) -> list[Variable]:
        """The variables made by :meth:`add_variable`."""
        return [variable for variable, _ in self._variables.values()]

    def _totals(self) -> State:
        return self.init() if self._held is None else self._held

    def _pure_update(self) -> Callable[..., State]:
        updates = (vars(base).get("update") for base in type(self).__mro__)
        return next(u for u in updates if u is not None and u is not _update_in_kerass_way)

    @contextlib.contextmanager
    def _holding(self, state: State) -> Iterator[Callable[[], State]]:
        """Within, ``state`` is what the metric holds; yields a function that reads it back."""
        before, self._held = self._held, dict(state)
        bindings = {id(v): state[name] for name, (v, _) in self._variables.items()}
        # A scope of its own would hide what the call knows, so there is one only where needed.
        scope = Scope(bindings=bindings) if bindings else None
        try:
            with scope or contextlib.nullcontext():
                yield lambda: self._read_back(scope)
        finally:
            self._held = before

    def _read_back(self, scope: Scope | None) -> State:
        state = dict(self._totals())
        if scope is not None:
            state.update({name: scope.read(v) for name, (v, _) in self._variables.items()})
        return state


def _update_in_kerass_way(self: Metric, state: State, *args: Any, **kwargs: Any) -> State:
    with self._holding(state) as read_back:
        self.update_state(*args, **kwargs)
        return read_back()


def _taking_a_state(result: Callable[[Any], Any]) -> Callable[..., Any]:
    @functools.wraps(result)
    def result_of(self: Any, state: State | None = None) -> Any:
        if state is None:
            return _value(result(self))
        with self._holding(state):
            return _value(result(self))

    return result_of


def _value(result: Any) -> Any:
    return result.value if isinstance(result, Variable) else result
