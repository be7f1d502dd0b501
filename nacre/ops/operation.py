"""How a function of arrays becomes an operation.

An operation takes arrays, NumPy arrays, lists, numbers and variables alike. On a symbolic tensor
it computes nothing and notes a node of the functional API instead. What an argument is stands in
its annotation:

- ``ArrayLike`` is turned into an array;
- ``Operand`` is turned into an array of the data type that all operands have in common;
- ``Floating`` is an operand, and integers are computed in the default floating-point type;
- ``Operands`` is a list of operands;
- ``DType`` is a data type, kept by name;
- ``Verbatim`` is left alone: functions, indices, trees;
- anything else is a plain setting, in which NumPy's numbers and arrays become Python's.

The common data type is Keras's: a Python number takes the type of the arrays beside it, unless it
is of a higher kind (a float beside integers gives the default floating-point type). Axes are lined
up from the right. Both hold however strict JAX itself is configured.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, ParamSpec, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from nacre.core.dtypes import floatx
from nacre.core.errors import ArgumentError, NacreError, explain
from nacre.core.registry import register
from nacre.core.symbolic import contains_symbolic, record
from nacre.core.variables import Variable

__all__ = [
    "ArrayLike",
    "DType",
    "Floating",
    "Operand",
    "Operands",
    "OperationError",
    "Verbatim",
    "data_type",
    "operation",
    "promote",
    "to_array",
    "transformation",
]

P = ParamSpec("P")
R = TypeVar("R")

ArrayLike = Any
Operand = Any
Floating = Any
Operands = Any
DType = Any
Verbatim = Any

# Mixed kinds are computed in the later one. A Python integer adapts to unsigned arrays too.
KINDS = (jnp.bool_, jnp.signedinteger, jnp.unsignedinteger, jnp.floating, jnp.complexfloating)
FLOATING_KIND = KINDS.index(jnp.floating)


class OperationError(NacreError, ValueError, TypeError):
    """An operation cannot work on what it was given."""

    reason = ""


class Signature(NamedTuple):
    """What the arguments of an operation are, by position and by name."""

    positional: tuple[str, ...]
    rest: str
    named: dict[str, str]

    def of(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[str]:
        """The annotation of each argument, those without a name first."""
        extra = len(args) - len(self.positional)
        return [
            *self.positional[: len(args)],
            *[self.rest] * extra,
            *(self.named.get(name, "") for name in kwargs),
        ]


def operation(function: Callable[P, R]) -> Callable[P, R]:
    """Decorator: make ``function`` accept array-likes and symbolic tensors, and register it."""
    signature = _signature(function)
    compute: Callable[..., R] = function

    @functools.wraps(function)
    def operate(*args: P.args, **kwargs: P.kwargs) -> R:
        if contains_symbolic((args, kwargs)):
            return _note(operate, signature, args, kwargs)
        try:
            values = _converted(signature.of(args, kwargs), [*args, *kwargs.values()])
            positional, named = values[: len(args)], dict(zip(kwargs, values[len(args) :]))
            with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
                return compute(*positional, **named)
        except NacreError:
            raise
        except (TypeError, ValueError, IndexError, OverflowError) as error:
            raise _failure(
                function.__name__, [*signature.named], _reason(error), (args, kwargs)
            ) from error

    register("operation")(operate)
    return operate


def transformation(function: Callable[P, R]) -> Callable[P, R]:
    """Decorator: register a function that calls other functions, whose errors pass unchanged."""

    compute: Callable[..., R] = function

    @functools.wraps(function)
    def operate(*args: P.args, **kwargs: P.kwargs) -> R:
        if contains_symbolic((args, kwargs)):
            return record(operate, args, kwargs).outputs
        positional, named = jax.tree.map(_value, (args, kwargs))
        return compute(*positional, **named)

    register("operation")(operate)
    return operate


def _signature(function: Callable[..., Any]) -> Signature:
    positional, rest, named = [], "", {}
    for parameter in inspect.signature(function).parameters.values():
        annotation = parameter.annotation
        if parameter.kind is parameter.VAR_POSITIONAL:
            rest = annotation
        elif parameter.kind is not parameter.VAR_KEYWORD:
            named[parameter.name] = annotation
            if parameter.kind is not parameter.KEYWORD_ONLY:
                positional.append(annotation)
    return Signature(tuple(positional), rest, named)


# Symbolic tensors


def _note(
    operate: Callable[..., Any], signature: Signature, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    kinds = signature.of(args, kwargs)
    values = [_recordable(kind, value) for kind, value in zip(kinds, [*args, *kwargs.values()])]
    named = dict(zip(kwargs, values[len(args) :]))
    try:
        return record(operate, tuple(values[: len(args)]), named).outputs
    except OperationError as error:
        # The sizes in the message are those of the abstract evaluation; show the symbolic ones.
        raise _failure(
            operate.__name__, [*signature.named], error.reason, (args, kwargs)
        ) from error


def _recordable(kind: str, value: Any) -> Any:
    """``value`` as a node keeps it: what can be written to a file, wherever that is possible."""
    if kind == "DType":
        return data_type(value)
    if kind in ("ArrayLike", "Operand", "Floating") and isinstance(value, np.ndarray):
        return np.asarray(value, jax.dtypes.canonicalize_dtype(value.dtype))
    return _plain(value) if kind not in ARRAYS else value


# Errors


def _failure(name: str, parameters: Sequence[str], reason: str, arguments: Any) -> OperationError:
    shown, expected, fix = reason, None, None
    if "Abstract tracer value" in reason or "must be statically specified" in reason:
        shown = "it needs to see values, and a compiled program has none while it is put together"
        fix = "call it outside the model and jax.jit, or mask with nacre.ops.where instead."
    if f"{name}() " in reason:  # Python's own words for a call that does not fit the signature
        expected = f"{name}({', '.join(parameters)})"
    received = _described(arguments) or "no arguments"
    error = OperationError(
        explain(f"ops.{name} failed: {shown}", expected=expected, received=received, fix=fix)
    )
    error.reason = reason
    return error


def _reason(error: Exception) -> str:
    return str(error).partition("\n")[0].strip() or type(error).__name__


def _described(arguments: Any) -> str:
    args, kwargs = arguments
    shown = [_excerpt(value) for value in args]
    return ", ".join(shown + [f"{name}={_excerpt(value)}" for name, value in kwargs.items()])


def _excerpt(value: Any, length: int = 60) -> str:
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"shape {tuple(value.shape)} {np.dtype(value.dtype).name}"
    if isinstance(value, list | tuple) and len(value) <= 8:
        inside = ", ".join(_excerpt(item) for item in value)
        return f"[{inside}]" if isinstance(value, list) else f"({inside})"
    text = repr(value)
    return text if len(text) <= length else text[:length] + "..."


# Arrays and data types

TOGETHER = ("Operand", "Floating", "Operands")
ARRAYS = (*TOGETHER, "ArrayLike", "Verbatim")


def _converted(kinds: Sequence[str], values: list[Any]) -> list[Any]:
    operands = [
        operand
        for kind, value in zip(kinds, values)
        if kind in TOGETHER and value is not None
        for operand in (value if kind == "Operands" else (value,))
    ]
    promoted = iter(promote(*operands, floating="Floating" in kinds)) if operands else iter(())
    return [_argument(kind, value, promoted) for kind, value in zip(kinds, values)]


def _argument(kind: str, value: Any, promoted: Iterator[jax.Array]) -> Any:
    if kind == "Operands":
        return [next(promoted) for _ in value]
    if kind in TOGETHER:
        return None if value is None else next(promoted)
    if kind == "ArrayLike":
        return None if value is None else to_array(value)
    if kind == "DType":
        return data_type(value)
    return value if kind == "Verbatim" else _plain(value)


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value


def _value(leaf: Any) -> Any:
    return leaf.value if isinstance(leaf, Variable) else leaf


def _is_number(value: Any) -> bool:
    return isinstance(value, bool | int | float | complex) and not isinstance(value, np.generic)


def _default_type(kind: str) -> Any:
    """The type of Python's numbers of a NumPy kind."""
    types = {"b": "bool", "i": "int32", "u": "int32", "f": floatx(), "c": "complex64"}
    if kind not in types:
        raise TypeError("it takes numbers, or arrays of them")
    return types[kind]


def _kind(dtype: Any) -> int:
    return next(rank for rank, kind in enumerate(KINDS) if jnp.issubdtype(dtype, kind))


def data_type(dtype: Any) -> str | None:
    """The name of a data type; ``float`` and ``int`` stand for the default ones.

    Where JAX computes in 32 bits, 64-bit types become their 32-bit counterparts.
    """
    if dtype is None:
        return None
    if isinstance(dtype, type | str) and dtype in (bool, int, float, "int", "float"):
        return _default_type(np.dtype(dtype).kind)
    try:
        return jax.dtypes.canonicalize_dtype(jnp.dtype(dtype)).name
    except TypeError:
        raise ArgumentError(
            explain(
                "This is not a data type.",
                expected="a name such as 'float32', 'int32', 'bool'",
                received=repr(dtype),
            )
        ) from None


def to_array(value: Any) -> jax.Array:
    """An array from an array, a NumPy array, nested lists, a number or a variable."""
    if isinstance(value, jax.Array):
        return value
    if isinstance(value, Variable):
        return value.value
    if _is_number(value) or isinstance(value, list | tuple):
        leaves = jax.tree.leaves(value)
        if all(map(_is_number, leaves)):
            kind = np.asarray(value).dtype.kind if leaves else "f"
            return jnp.asarray(np.asarray(value, dtype=_default_type(kind)))
        value = jax.tree.map(_value, value)
    return jnp.asarray(value)


def promote(*values: Any, floating: bool = False) -> list[jax.Array]:
    """Arrays of the data type that ``values`` have in common; floating-point if asked for."""
    converted = [value if _is_number(value) else to_array(value) for value in values]
    dtype = _common_type(converted)
    if floating and _kind(dtype) < FLOATING_KIND:
        dtype = floatx()
    return [
        jnp.asarray(np.asarray(value, dtype))
        if _is_number(value)
        else value
        if value.dtype == dtype
        else value.astype(dtype)
        for value in converted
    ]


def _common_type(values: Sequence[Any]) -> Any:
    types = {value.dtype for value in values if not _is_number(value)}
    numbers = {_default_type(np.dtype(type(v)).kind) for v in values if _is_number(v)}
    dtype = None
    if types:
        with jax.numpy_dtype_promotion("standard"):
            dtype = functools.reduce(jnp.promote_types, sorted(types, key=str))
    for number in numbers:
        if dtype is None or _kind(number) > _kind(dtype):
            dtype = jnp.dtype(number)
    return dtype
