"""What failed in a layer, a loss or a metric, in words that do not need JAX's."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, NoReturn

import jax

from nacre.core.errors import NacreError, explain
from nacre.core.scope import current_scope
from nacre.core.symbolic import BATCH_SIZES, OTHER_SIZES
from nacre.core.tracebacks import raise_instead

__all__ = ["FunctionError", "LayerError", "fail", "shape_text", "shapes_text"]


class FunctionError(NacreError, ValueError, TypeError):
    """The code of a loss, metric or other function failed; the message says which, on what."""


class LayerError(FunctionError):
    """A layer's own code failed; the message says which layer and on what."""


def fail(kind: type[FunctionError], where: str, cause: Exception, arguments: Any) -> NoReturn:
    """Raise an error that says where ``cause`` came from.

    What wrong shapes, types and values raise becomes a ``kind``; another error is raised as it is,
    with a note.

    Args:
        kind: the class of the error.
        where: the layer or function, as messages name it.
        cause: what was raised in it.
        arguments: what it was called on.
    """
    if isinstance(cause, NacreError):
        raise cause
    missing = _missing_attribute(cause)
    if missing is None and not isinstance(cause, TypeError | ValueError | IndexError):
        if not hasattr(cause, "__notes__"):  # the innermost says it
            cause.add_note(f"This is in {where}, called on {shapes_text(arguments)}.")
        raise cause
    problem, fix = missing or _in_plain_words(cause)
    error = kind(explain(f"{where} failed: {problem}", received=shapes_text(arguments), fix=fix))
    raise_instead(error, cause)


def _in_plain_words(cause: Exception) -> tuple[str, str | None]:
    """What an error says, and how to mend it, where JAX says it in terms of its own."""
    errors = jax.errors
    if isinstance(cause, errors.TracerBoolConversionError):
        return (
            "it asks Python whether an array is true (if, while, and, or, not), but compiled code "
            "has no values to look at yet.",
            "let the array decide: nacre.ops.where(condition, a, b), or nacre.ops.cond.",
        )
    if isinstance(cause, errors.TracerArrayConversionError):
        return (
            "it hands an array to NumPy, but compiled code has no values to hand over yet.",
            "use nacre.ops or jax.numpy in place of numpy.",
        )
    if isinstance(cause, errors.TracerIntegerConversionError | errors.ConcretizationTypeError):
        return (
            "it makes a Python number of an array (float(), int(), .item(), range()), but compiled "
            "code has no values to look at yet.",
            "keep it an array, and compute with nacre.ops or jax.numpy.",
        )
    text = str(cause).rstrip(".") + "."
    product = re.match(r"dot_general requires contracting.* got \((.*),\) and \((.*),\)", text)
    if product is not None:
        text = f"a matrix product whose inner sizes are {product[1]} and {product[2]}."
    if re.search(r"call\(\) takes 2 positional arguments but \d+ were given", text):
        return text, "put several inputs in one list: layer([a, b])."
    return text, "print(x.shape) before the line that failed shows what it works on."


def _missing_attribute(cause: Exception) -> tuple[str, str | None] | None:
    """The same, where an array was asked for something that arrays do not have."""
    found = re.match(r"'?\w*(?:Tracer|ArrayImpl)\b.* has no attribute '?(\w+)", str(cause))
    if found is None or not isinstance(cause, AttributeError):
        return None
    fix = "compute with nacre.ops or jax.numpy" + (
        "; values can be looked at outside, in model(x)." if found[1] in ("numpy", "item") else "."
    )
    return f"it asks an array for .{found[1]}, which arrays do not have.", fix


def shapes_text(arguments: Any) -> str:
    """The shapes and types of the arrays among some arguments."""
    leaves = [x for x in jax.tree.leaves(arguments) if hasattr(x, "shape")]
    return ", ".join(f"shape {shape_text(x.shape)} {x.dtype}" for x in leaves) or "no arrays"


def shape_text(shape: Iterable[int | None]) -> str:
    """A shape as messages show it; sizes that are not known have names, the batch among them."""
    scope = current_scope()
    sizes = list(shape)
    names = ["batch" if i == 0 else "any" for i in range(len(sizes))]
    if scope is not None and scope.building:
        stand_ins = [BATCH_SIZES if i == 0 else OTHER_SIZES for i in range(len(sizes))]
        sizes = [None if size in known else size for size, known in zip(sizes, stand_ins)]
    shown = [name if size is None else str(size) for size, name in zip(sizes, names)]
    return f"({shown[0]},)" if len(shown) == 1 else f"({', '.join(shown)})"
