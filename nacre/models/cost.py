"""How many floating-point operations a function takes, read from its jaxpr.

The conventions:

- One multiply-add is two operations. A matrix product of ``(M, K)`` and ``(K, N)`` takes ``2MNK``;
  a convolution twice its output elements times the kernel elements each of them sees, padding
  included, as in the papers' tables. The zeros that a transposed convolution inserts are left out.
- Elementwise arithmetic takes one operation for each element of the result, and so does a
  comparison, ``max``, ``exp``, ``tanh``, ``erf`` or any other function of one number.
- A reduction of n numbers to one takes ``n - 1``, a running sum likewise. A fast Fourier transform
  of n numbers takes ``5 n log2 n`` (half of it for real numbers), sorting them ``n log2 n``.
- Moving, selecting, converting and padding take none, and neither does arithmetic on integers.
- A loop of known length takes its body's operations times its length. A ``while`` loop is counted
  as if it ran once, a ``cond`` as its most expensive branch.
- What is written down is counted, whether or not the compiler then finds a shorter way.

What cannot be counted (a ``while`` loop, a foreign function, a matrix decomposition) is named in
:attr:`Cost.uncounted`; the number is then a lower bound.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, jaxprs_in_params

from nacre.kernels import MEANINGS

__all__ = ["Cost", "Item", "count_operations", "itemise", "total"]


class Cost(NamedTuple):
    """What a function takes.

    Attributes:
        operations: floating-point operations.
        uncounted: names of what could not be counted, so that the true number is larger.
    """

    operations: int = 0
    uncounted: frozenset[str] = frozenset()


class Item(NamedTuple):
    """What one primitive operation takes, and where it stands.

    Attributes:
        where: the names given by ``jax.named_scope``, from the outermost to the innermost.
    """

    where: str
    cost: Cost


def count_operations(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Cost:
    """The floating-point operations of ``function(*args, **kwargs)``, which is not run.

    Args:
        function: a function that JAX can trace.
        *args, **kwargs: arrays, or ``jax.ShapeDtypeStruct`` in their place.

    Returns:
        A :class:`Cost`; the module's docstring states the conventions.

    Example:
        >>> import jax
        >>> from nacre.models.cost import count_operations
        >>> x = jax.ShapeDtypeStruct((1, 784), "float32")
        >>> w = jax.ShapeDtypeStruct((784, 512), "float32")
        >>> count_operations(lambda x, w: x @ w, x, w).operations == 2 * 784 * 512
        True
    """
    return total(itemise(jax.make_jaxpr(function)(*args, **kwargs)))


def total(items: Iterator[Item] | list[Item]) -> Cost:
    """The sum of what ``items`` take."""
    costs = [item.cost for item in items]
    names = frozenset(name for cost in costs for name in cost.uncounted)
    return Cost(sum(cost.operations for cost in costs), names)


def itemise(jaxpr: ClosedJaxpr | Jaxpr, where: str = "", times: int = 1) -> Iterator[Item]:
    """What each primitive operation of a jaxpr takes, ``times`` over, with where it stands."""
    for equation in jaxpr.eqns:
        scope = str(equation.source_info.name_stack)
        scope = f"{where}/{scope}" if where and scope else where or scope
        yield from _items(equation, scope, times)


def _items(equation: JaxprEqn, where: str, times: int) -> Iterator[Item]:
    """What one equation takes: its own operations, or those of the functions it calls."""
    name, params = equation.primitive.name, equation.params
    if name in FORMULAS or name in ELEMENTWISE or name in FREE or not _is_floating(equation):
        yield Item(where, Cost(times * _own_operations(equation)))
    elif name == "scan":
        yield from itemise(params["jaxpr"], where, times * params["length"])
    elif name == "cond":
        branches = [list(itemise(branch, where, times)) for branch in params["branches"]]
        yield from max(branches, key=lambda items: total(items).operations)
    elif name == "while":
        items = [
            *itemise(params["cond_jaxpr"], where, times),
            *itemise(params["body_jaxpr"], where, times),
        ]
        yield from items
        if total(items).operations:
            yield Item(where, Cost(0, frozenset({"while loop"})))
    elif name in MEANINGS:
        yield from itemise(_meaning(equation), where, times)
    elif name == "custom_linear_solve":
        yield from itemise(params["jaxprs"].solve, where, times)
    elif called := list(jaxprs_in_params(params)):
        for jaxpr in called:
            yield from itemise(jaxpr, where, times)
    else:
        yield Item(where, Cost(0, frozenset({params.get("target_name", name)})))


def _meaning(equation: JaxprEqn) -> ClosedJaxpr:
    """What a primitive of :mod:`nacre.kernels` computes, in operations of JAX."""
    operands = [jax.ShapeDtypeStruct(_shape(v), _dtype(v)) for v in equation.invars]
    meaning = functools.partial(MEANINGS[equation.primitive.name], **equation.params)
    return jax.make_jaxpr(meaning)(*operands)


def _is_floating(equation: JaxprEqn) -> bool:
    """Whether numbers that are not integers go in or come out, or a function is called."""
    variables = [*equation.invars, *equation.outvars]
    floating = any(jnp.issubdtype(_dtype(v), jnp.inexact) for v in variables)
    return floating or any(True for _ in jaxprs_in_params(equation.params))


def _own_operations(equation: JaxprEqn) -> int:
    name = equation.primitive.name
    if name in FREE or not _is_floating(equation):
        return 0
    if name in FORMULAS:
        return FORMULAS[name](equation)
    return _elements(equation.outvars[0])


def _dtype(variable: Any) -> Any:
    return getattr(variable.aval, "dtype", None) or jnp.dtype(bool)  # tokens have none


def _shape(variable: Any) -> tuple[int, ...]:
    return variable.aval.shape


def _elements(variable: Any) -> int:
    return math.prod(_shape(variable))


# How many operations a primitive takes, where it is not one for each element of the result


def _matrix_product(equation: JaxprEqn) -> int:
    (contracted, _), _ = equation.params["dimension_numbers"]
    sizes = _shape(equation.invars[0])
    terms = math.prod(sizes[axis] for axis in contracted)
    return 2 * _elements(equation.outvars[0]) * terms


def _ragged_matrix_product(equation: JaxprEqn) -> int:
    # Each row is multiplied with one group's matrix, whichever it is.
    (contracted, _), _ = equation.params["ragged_dot_dimension_numbers"].dot_dimension_numbers
    sizes = _shape(equation.invars[0])
    return 2 * _elements(equation.outvars[0]) * math.prod(sizes[axis] for axis in contracted)


def _kernel_convolution(equation: JaxprEqn) -> int:
    """The operations of :mod:`nacre.kernels`: each output is a sum over one window's inputs."""
    first, second = (_shape(variable) for variable in equation.invars)
    result = _shape(equation.outvars[0])
    outputs, kernel = {
        "convolution": (result, second),
        "convolution_input_gradient": (first, second),
        "convolution_kernel_gradient": (second, result),
    }[equation.primitive.name]
    return 2 * math.prod(outputs) * math.prod(kernel[:-1])


def _convolution(equation: JaxprEqn) -> int:
    kernel = equation.invars[1]
    outputs_axis = equation.params["dimension_numbers"].rhs_spec[0]
    # The kernel's second axis already holds only the channels of one group.
    terms = _elements(kernel) // _shape(kernel)[outputs_axis]
    inserted = math.prod(equation.params["lhs_dilation"])
    return 2 * _elements(equation.outvars[0]) * terms // inserted


def _reduction(equation: JaxprEqn) -> int:
    return _elements(equation.invars[0]) - _elements(equation.outvars[0])


def _general_reduction(equation: JaxprEqn) -> int:
    return _reduction(equation) * total(itemise(equation.params["jaxpr"])).operations


def _running_reduction(equation: JaxprEqn) -> int:
    shape = _shape(equation.outvars[0])
    steps = shape[equation.params["axis"]]
    return _elements(equation.outvars[0]) // steps * (steps - 1) if steps else 0


def _window(equation: JaxprEqn) -> int:
    return math.prod(equation.params["window_dimensions"])


def _window_reduction(equation: JaxprEqn) -> int:
    return _elements(equation.outvars[0]) * (_window(equation) - 1)


def _general_window_reduction(equation: JaxprEqn) -> int:
    return _window_reduction(equation) * total(itemise(equation.params["jaxpr"])).operations


def _window_scatter(equation: JaxprEqn) -> int:
    # The gradient of max pooling: comparing within each window, then one addition.
    return _elements(equation.invars[0]) * _window(equation)


def _updates(equation: JaxprEqn) -> int:
    return _elements(equation.invars[2])


def _whole_power(equation: JaxprEqn) -> int:
    # By repeated squaring; a negative power takes a reciprocal more.
    power = equation.params["y"]
    products = max(0, abs(power).bit_length() - 1 + abs(power).bit_count() - 1)
    return _elements(equation.outvars[0]) * (products + (power < 0))


def _clamp(equation: JaxprEqn) -> int:
    return 2 * _elements(equation.outvars[0])


def _fourier_transform(equation: JaxprEqn) -> int:
    lengths = equation.params["fft_lengths"]
    size = math.prod(lengths)
    axes = len(lengths)
    largest = max(_shape(equation.invars[0]), _shape(equation.outvars[0]), key=math.prod)
    transforms = math.prod(largest[: len(largest) - axes])
    # A transform of real numbers, or to them, takes half.
    real = any(
        jnp.issubdtype(_dtype(v), jnp.floating) for v in (*equation.invars, *equation.outvars)
    )
    return round(transforms * 5 * size * math.log2(max(size, 1)) / (2 if real else 1))


def _sorting(equation: JaxprEqn) -> int:
    shape = _shape(equation.invars[0])
    length = shape[equation.params.get("dimension", len(shape) - 1)]
    return math.prod(shape) * math.ceil(math.log2(max(length, 1)))


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


FORMULAS: dict[str, Callable[[JaxprEqn], int]] = {
    "dot_general": _matrix_product,
    "ragged_dot_general": _ragged_matrix_product,
    "conv_general_dilated": _convolution,
    "convolution": _kernel_convolution,
    "convolution_input_gradient": _kernel_convolution,
    "convolution_kernel_gradient": _kernel_convolution,
    **dict.fromkeys(
        ("reduce_sum", "reduce_max", "reduce_min", "reduce_prod", "argmax", "argmin"), _reduction
    ),
    "reduce": _general_reduction,
    **dict.fromkeys(("cumsum", "cumprod", "cummax", "cummin", "cumlogsumexp"), _running_reduction),
    **dict.fromkeys(
        ("reduce_window_sum", "reduce_window_max", "reduce_window_min", "select_and_gather_add"),
        _window_reduction,
    ),
    "reduce_window": _general_window_reduction,
    "select_and_scatter_add": _window_scatter,
    **dict.fromkeys(
        ("scatter-add", "scatter-sub", "scatter-mul", "scatter-min", "scatter-max"), _updates
    ),
    "integer_pow": _whole_power,
    "clamp": _clamp,
    "fft": _fourier_transform,
    "sort": _sorting,
    "top_k": _sorting,
}

ELEMENTWISE = _names(
    """
    abs add add_any add_jaxvals atan2 cbrt ceil div eq eq_to exp exp2 expm1 floor ge gt is_finite le
    le_to log log1p logistic lt lt_to max min mul ne neg nextafter pow rem round rsqrt sign sqrt
    square sub acos acosh asin asinh atan atanh cos cosh sin sinh tan tanh bessel_i0e bessel_i1e
    digamma erf erf_inv erfc igamma igammac igamma_grad_a lgamma polygamma
    regularized_incomplete_beta zeta
    """
)

# What moves numbers, chooses among them or writes them in another form.
FREE = _names(
    """
    bitcast_convert_type broadcast_in_dim complex concatenate conj convert_element_type copy copy_p
    create_token device_put dynamic_slice dynamic_update_slice empty empty2 gather imag iota
    mesh_cast name optimization_barrier pad real reduce_precision reshape reshard rev rng_uniform
    scatter select_n sharding_constraint slice split squeeze stack stop_gradient tile transpose
    unstack random_bits random_wrap random_unwrap
    """
)
