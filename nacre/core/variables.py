"""A variable: an array that belongs to a layer."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from nacre.core import random
from nacre.core.errors import ShapeError, explain
from nacre.core.registry import resolve
from nacre.core.scope import current_scope

__all__ = ["Variable"]


class Owner(Protocol):
    """What a variable may belong to."""

    def draw_values(self) -> None:
        """Draw the initial values of every variable around that has none."""


class Variable:
    """An array with a name, a shape and a data type, whose value can be replaced.

    The initial value is drawn when it is first needed. While a model runs, ``value`` is whatever
    the call has bound to the variable, so the same code works eagerly and inside compiled programs.

    Args:
        initializer: an array, a name such as ``"glorot_uniform"``, or a function of
            ``(shape, dtype)``.
        shape: the shape, needed unless ``initializer`` is an array.
        dtype: the data type, float32 by default.
        trainable: whether an optimizer may change it. A variable made with ``trainable=False`` is
            state: layers may assign to it while they run.
        name: its name within its layer.
        regularizer: a penalty on the value that is added to the loss.
        seed: the seed of the initial value; the current one by default.

    Example:
        >>> import nacre
        >>> v = nacre.Variable([1.0, 2.0])
        >>> v.assign(v * 2)
        >>> v.numpy().tolist()
        [2.0, 4.0]
    """

    def __init__(
        self,
        initializer: Any = "zeros",
        shape: Sequence[int] | None = None,
        dtype: Any = None,
        trainable: bool = True,
        name: str | None = None,
        regularizer: Any = None,
        *,
        seed: int | None = None,
    ) -> None:
        self.name = name or "variable"
        self.trainable = trainable
        self.is_state = not trainable
        self.regularizer = resolve("regularizer", regularizer)
        self._seed = random.current_seed() if seed is None else seed
        self._value: jax.Array | None = None
        self._owner: weakref.ref[Owner] | None = None
        self._initializer: Callable[..., Any] | None = None
        if isinstance(initializer, str) or callable(initializer):
            if shape is None:
                raise ShapeError(f"Variable {self.name!r} needs a shape to be initialised with.")
            self._initializer = resolve("initializer", initializer)
            self._shape = tuple(int(size) for size in shape)
            self._dtype = np.dtype(jnp.dtype(dtype or "float32"))
        else:
            value = jnp.array(initializer, dtype=None if dtype is None else jnp.dtype(dtype))
            if dtype is None and isinstance(initializer, float | list | tuple):
                value = value.astype(jnp.float32) if value.dtype.kind == "f" else value
            self._value, self._shape, self._dtype = value, value.shape, value.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        return self._shape

    @property
    def dtype(self) -> np.dtype:
        return self._dtype

    @property
    def ndim(self) -> int:
        return len(self._shape)

    @property
    def size(self) -> int:
        """The number of elements."""
        return int(np.prod(self._shape, dtype=np.int64))

    @property
    def drawn(self) -> bool:
        """Whether the initial value has been drawn."""
        return self._value is not None

    @property
    def value(self) -> Any:
        """The array, or what stands for it in the call that is running."""
        scope = current_scope()
        return self.concrete() if scope is None else scope.read(self)

    def concrete(self) -> jax.Array:
        """The stored array, drawn now if it has not been."""
        owner = None if self._value is not None or self._owner is None else self._owner()
        if owner is not None:
            owner.draw_values()
        if self._value is None:
            self.draw(self.name)
        assert self._value is not None
        return self._value

    def belongs_to(self, owner: Owner) -> None:
        """Let ``owner``, if it is the first, draw the initial value, as it knows the path."""
        if self._owner is None:
            self._owner = weakref.ref(owner)

    def draw(self, path: str, entropy: int | None = None) -> None:
        """Draw the initial value; it depends on the seed and ``path`` alone.

        ``entropy`` serves where no seed is set.
        """
        if self._value is not None or self._initializer is None:
            return
        seed = self._seed
        if seed is None:
            seed = random.fresh_seed() if entropy is None else entropy
        draw = getattr(self._initializer, "draw", None)
        if draw is not None:
            array = draw(self._shape, self._dtype, random.generator(seed, path))
        else:
            array = self._initializer(self._shape, dtype=self._dtype)
        array = np.asarray(array, dtype=self._dtype)
        if array.shape != self._shape:
            raise ShapeError(
                explain(
                    f"The initializer of {path!r} returned an array of the wrong shape.",
                    expected=self._shape,
                    received=array.shape,
                )
            )
        with jax.ensure_compile_time_eval():
            self._value = jax.device_put(array)  # which, unlike jnp.asarray, compiles nothing

    def assign(self, value: Any) -> None:
        """Replace the value. Inside a running model, the new value is kept when the call ends."""
        scope = current_scope()
        if isinstance(value, Variable):
            value = value.value
        if not isinstance(value, jax.Array):
            value = jnp.asarray(value, dtype=self._dtype)
        if value.shape != self._shape:
            raise ShapeError(
                explain(
                    f"Variable {self.name!r} was assigned an array of another shape.",
                    expected=self._shape,
                    received=value.shape,
                )
            )
        value = value.astype(self._dtype)
        if scope is not None:
            scope.write(self, value)
        else:
            self.replace(value)

    def replace(self, value: jax.Array) -> None:
        """Store a concrete array of the same shape and type."""
        self._value = value

    def __getstate__(self) -> dict[str, Any]:
        """What copies and pickles hold: the value, and not how it was drawn."""
        return {**vars(self), "_value": self.concrete(), "_owner": None, "_initializer": None}

    def numpy(self) -> np.ndarray:
        """The value as a NumPy array."""
        return np.asarray(self.value)

    def assign_add(self, value: Any) -> None:
        """Add ``value`` to the value."""
        self.assign(self.value + value)

    def assign_sub(self, value: Any) -> None:
        """Subtract ``value`` from the value."""
        self.assign(self.value - value)

    def __jax_array__(self) -> Any:
        return self.value

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.value, dtype=dtype, copy=copy)

    def __getitem__(self, index: Any) -> Any:
        return self.value[index]

    def __getattr__(self, name: str) -> Any:
        # Anything else that arrays can do (sum, reshape, T, at, ...) is done by the value.
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self.value, name)

    def __repr__(self) -> str:
        return f"<Variable {self.name!r} shape={self.shape} dtype={self.dtype.name}>"


def _binary(name: str) -> Callable[[Variable, Any], Any]:
    def operate(self: Variable, other: Any) -> Any:
        other = other.value if isinstance(other, Variable) else other
        return getattr(jnp.asarray(self.value), name)(other)

    operate.__name__ = name
    return operate


for _name in ("add", "sub", "mul", "truediv", "matmul", "pow", "floordiv", "mod"):
    setattr(Variable, f"__{_name}__", _binary(f"__{_name}__"))
    setattr(Variable, f"__r{_name}__", _binary(f"__r{_name}__"))
for _name in ("lt", "le", "gt", "ge"):
    setattr(Variable, f"__{_name}__", _binary(f"__{_name}__"))
Variable.__neg__ = lambda self: -self.value  # type: ignore[attr-defined]
