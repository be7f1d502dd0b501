"""Operations that work element by element: arithmetic, comparisons, logic, exponentials, angles."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nacre.ops.families import binary, unary
from nacre.ops.operation import (
    ArrayLike,
    DType,
    Floating,
    Operand,
    Operands,
    OperationError,
    operation,
)

__all__ = [
    "abs",
    "absolute",
    "add",
    "allclose",
    "angle",
    "arccos",
    "arccosh",
    "arcsin",
    "arcsinh",
    "arctan",
    "arctan2",
    "arctanh",
    "bitwise_and",
    "bitwise_invert",
    "bitwise_left_shift",
    "bitwise_not",
    "bitwise_or",
    "bitwise_right_shift",
    "bitwise_xor",
    "cbrt",
    "ceil",
    "clip",
    "conj",
    "conjugate",
    "cos",
    "cosh",
    "deg2rad",
    "divide",
    "divide_no_nan",
    "equal",
    "erf",
    "erfc",
    "erfinv",
    "exp",
    "exp2",
    "expm1",
    "fabs",
    "floor",
    "floor_divide",
    "fmax",
    "fmin",
    "fmod",
    "gcd",
    "greater",
    "greater_equal",
    "heaviside",
    "hypot",
    "i0",
    "imag",
    "isclose",
    "isfinite",
    "isinf",
    "isnan",
    "isneginf",
    "isposinf",
    "isreal",
    "lcm",
    "ldexp",
    "left_shift",
    "less",
    "less_equal",
    "log",
    "log10",
    "log1p",
    "log2",
    "logaddexp",
    "logaddexp2",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "maximum",
    "minimum",
    "mod",
    "multiply",
    "nan_to_num",
    "negative",
    "nextafter",
    "not_equal",
    "polar",
    "power",
    "rad2deg",
    "real",
    "reciprocal",
    "right_shift",
    "round",
    "rsqrt",
    "saturate_cast",
    "select",
    "sign",
    "signbit",
    "sin",
    "sinc",
    "sinh",
    "sqrt",
    "square",
    "subtract",
    "tan",
    "tanh",
    "true_divide",
    "trunc",
    "where",
]

# Arithmetic

add = binary(jnp.add, "The sum: x1 + x2.")
subtract = binary(jnp.subtract, "The difference: x1 - x2.")
multiply = binary(jnp.multiply, "The product, element by element: x1 * x2.")
divide = binary(jnp.divide, "The quotient: x1 / x2.", floating=True)
true_divide = binary(jnp.true_divide, "The quotient: x1 / x2.", floating=True, name="true_divide")
floor_divide = binary(jnp.floor_divide, "The quotient rounded down: floor(x1 / x2).")
mod = binary(jnp.mod, "The remainder: x1 - x2 * floor(x1 / x2), with the sign of x2.")
fmod = binary(jnp.fmod, "The remainder of a division rounded to zero, with the sign of x1.")
power = binary(jnp.power, "x1 to the power of x2.")
negative = unary(jnp.negative, "The negative: -x.")
absolute = unary(jnp.absolute, "The absolute value: |x|.")
abs = unary(jnp.absolute, "The absolute value: |x|.", name="abs")
fabs = unary(jnp.fabs, "The absolute value, as a floating-point number.", floating=True)
sign = unary(jnp.sign, "-1, 0 or 1, as x is negative, zero or positive.")
signbit = unary(jnp.signbit, "Whether the sign bit is set; true for -0.0 too.")
square = unary(jnp.square, "The square: x * x.")
reciprocal = unary(jnp.reciprocal, "The reciprocal: 1 / x.", floating=True)
sqrt = unary(jnp.sqrt, "The square root.", floating=True)
rsqrt = unary(jax.lax.rsqrt, "The reciprocal of the square root: 1 / sqrt(x).", floating=True)
cbrt = unary(jnp.cbrt, "The cube root.", floating=True)
maximum = binary(jnp.maximum, "The larger of two values; NaN where either is NaN.")
minimum = binary(jnp.minimum, "The smaller of two values; NaN where either is NaN.")
fmax = binary(jnp.fmax, "The larger of two values; where one is NaN, the other.")
fmin = binary(jnp.fmin, "The smaller of two values; where one is NaN, the other.")
hypot = binary(jnp.hypot, "The hypotenuse: sqrt(x1**2 + x2**2).", floating=True)
heaviside = binary(
    jnp.heaviside, "The unit step: 0 below zero, x2 at zero, 1 above.", floating=True
)
gcd = binary(jnp.gcd, "The greatest common divisor of whole numbers.")
lcm = binary(jnp.lcm, "The least common multiple of whole numbers.")
nextafter = binary(jnp.nextafter, "The next number from x1 towards x2.", floating=True)

# Rounding

floor = unary(jnp.floor, "The largest whole number that is not above x.", floating=True)
ceil = unary(jnp.ceil, "The smallest whole number that is not below x.", floating=True)
trunc = unary(jnp.trunc, "x without its decimals.")

# Exponentials and logarithms

exp = unary(jnp.exp, "The exponential: e to the power of x.", floating=True)
exp2 = unary(jnp.exp2, "2 to the power of x.", floating=True)
expm1 = unary(jnp.expm1, "exp(x) - 1, exact for small x.", floating=True)
log = unary(jnp.log, "The natural logarithm.", floating=True)
log2 = unary(jnp.log2, "The logarithm to base 2.", floating=True)
log10 = unary(jnp.log10, "The logarithm to base 10.", floating=True)
log1p = unary(jnp.log1p, "log(1 + x), exact for small x.", floating=True)
logaddexp = binary(jnp.logaddexp, "log(exp(x1) + exp(x2)), without overflow.", floating=True)
logaddexp2 = binary(jnp.logaddexp2, "log2(2**x1 + 2**x2), without overflow.", floating=True)
erf = unary(jax.lax.erf, "The error function.", floating=True)
erfc = unary(jax.lax.erfc, "The complement of the error function.", floating=True)
erfinv = unary(jax.lax.erf_inv, "The inverse of the error function.", floating=True, name="erfinv")
i0 = unary(jnp.i0, "The modified Bessel function of the first kind, order 0.", floating=True)

# Angles, in radians

sin = unary(jnp.sin, "The sine.", floating=True)
cos = unary(jnp.cos, "The cosine.", floating=True)
tan = unary(jnp.tan, "The tangent.", floating=True)
arcsin = unary(jnp.arcsin, "The inverse of the sine.", floating=True)
arccos = unary(jnp.arccos, "The inverse of the cosine.", floating=True)
arctan = unary(jnp.arctan, "The inverse of the tangent.", floating=True)
arctan2 = binary(jnp.arctan2, "The angle of the point (x2, x1).", floating=True)
sinh = unary(jnp.sinh, "The hyperbolic sine.", floating=True)
cosh = unary(jnp.cosh, "The hyperbolic cosine.", floating=True)
tanh = unary(jnp.tanh, "The hyperbolic tangent.", floating=True)
arcsinh = unary(jnp.arcsinh, "The inverse of the hyperbolic sine.", floating=True)
arccosh = unary(jnp.arccosh, "The inverse of the hyperbolic cosine.", floating=True)
arctanh = unary(jnp.arctanh, "The inverse of the hyperbolic tangent.", floating=True)
deg2rad = unary(jnp.deg2rad, "Degrees to radians.", floating=True)
rad2deg = unary(jnp.rad2deg, "Radians to degrees.", floating=True)
sinc = unary(jnp.sinc, "sin(pi x) / (pi x), and 1 at zero.", floating=True)

# Complex numbers

real = unary(jnp.real, "The real part.")
imag = unary(jnp.imag, "The imaginary part.")
conj = unary(jnp.conj, "The complex conjugate.", name="conj")
conjugate = unary(jnp.conj, "The complex conjugate.", name="conjugate")
angle = unary(jnp.angle, "The angle of a complex number, in radians.", floating=True)

# Comparisons

equal = binary(jnp.equal, "Whether x1 == x2.")
not_equal = binary(jnp.not_equal, "Whether x1 != x2.")
less = binary(jnp.less, "Whether x1 < x2.")
less_equal = binary(jnp.less_equal, "Whether x1 <= x2.")
greater = binary(jnp.greater, "Whether x1 > x2.")
greater_equal = binary(jnp.greater_equal, "Whether x1 >= x2.")
isfinite = unary(jnp.isfinite, "Whether a number is neither infinite nor NaN.")
isinf = unary(jnp.isinf, "Whether a number is infinite.")
isnan = unary(jnp.isnan, "Whether a number is NaN.")
isneginf = unary(jnp.isneginf, "Whether a number is minus infinity.")
isposinf = unary(jnp.isposinf, "Whether a number is plus infinity.")
isreal = unary(jnp.isreal, "Whether a number has no imaginary part.")

# Logic and bits

logical_and = binary(jnp.logical_and, "Whether both are true (not zero).")
logical_or = binary(jnp.logical_or, "Whether one or both are true (not zero).")
logical_xor = binary(jnp.logical_xor, "Whether exactly one is true (not zero).")
logical_not = unary(jnp.logical_not, "Whether x is false (zero).")
bitwise_not = unary(jnp.bitwise_not, "Every bit inverted.", name="bitwise_not")
bitwise_invert = unary(jnp.bitwise_not, "Every bit inverted.", name="bitwise_invert")


@operation
def bitwise_and(x: Operand, y: Operand) -> jax.Array:
    """The bits that are set in both."""
    return jnp.bitwise_and(x, y)


@operation
def bitwise_or(x: Operand, y: Operand) -> jax.Array:
    """The bits that are set in one or both."""
    return jnp.bitwise_or(x, y)


@operation
def bitwise_xor(x: Operand, y: Operand) -> jax.Array:
    """The bits that are set in exactly one."""
    return jnp.bitwise_xor(x, y)


@operation
def left_shift(x: Operand, y: Operand) -> jax.Array:
    """The bits of ``x`` moved ``y`` places to the left."""
    return jnp.left_shift(x, y)


@operation
def right_shift(x: Operand, y: Operand) -> jax.Array:
    """The bits of ``x`` moved ``y`` places to the right."""
    return jnp.right_shift(x, y)


bitwise_left_shift = left_shift
bitwise_right_shift = right_shift


# With settings of their own


@operation
def round(x: ArrayLike, decimals: int = 0) -> jax.Array:
    """The nearest number with so many decimals; halves go to the even neighbour.

    Example:
        >>> round([0.5, 1.5, 2.34], decimals=0).tolist()
        [0.0, 2.0, 2.0]
    """
    return jnp.round(x, decimals)


@operation
def clip(x: Operand, x_min: Operand, x_max: Operand) -> jax.Array:
    """The value between ``x_min`` and ``x_max`` that is nearest to ``x``.

    Example:
        >>> clip([-1.0, 0.5, 2.0], 0, 1).tolist()
        [0.0, 0.5, 1.0]
    """
    return jnp.clip(x, x_min, x_max)


@operation
def divide_no_nan(x1: Floating, x2: Floating) -> jax.Array:
    """x1 / x2, and 0 where ``x2`` is 0.

    Example:
        >>> divide_no_nan([1.0, 1.0], [2.0, 0.0]).tolist()
        [0.5, 0.0]
    """
    # The divisor is mended before dividing: otherwise the gradient would be NaN where x2 is 0.
    return jnp.where(x2 == 0, 0, x1 / jnp.where(x2 == 0, 1, x2))


@operation
def where(condition: ArrayLike, x1: Operand = None, x2: Operand = None) -> jax.Array:
    """``x1`` where the condition holds, else ``x2``; without them, where it holds.

    Example:
        >>> where([True, False], [1.0, 2.0], 0).tolist()
        [1.0, 0.0]
    """
    if (x1 is None) != (x2 is None):
        raise OperationError("ops.where takes both x1 and x2, or neither.")
    if x1 is None:
        return jnp.where(condition)  # pyright: ignore[reportReturnType]
    return jnp.where(condition.astype(bool), x1, x2)


@operation
def select(condlist: Operands, choicelist: Operands, default: Operand = 0) -> jax.Array:
    """From the first condition that holds, the value in the same place; else ``default``.

    Example:
        >>> x = [1, 5, 9]
        >>> select([less(x, 3), greater(x, 7)], [[10, 10, 10], [20, 20, 20]], 0).tolist()
        [10, 0, 20]
    """
    conditions = [condition.astype(bool) for condition in condlist]
    return jnp.select(conditions, choicelist, default)


@operation
def isclose(
    x1: Operand, x2: Operand, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> jax.Array:
    """Whether |x1 - x2| <= atol + rtol * |x2|."""
    return jnp.isclose(x1, x2, rtol=rtol, atol=atol, equal_nan=equal_nan)


@operation
def allclose(
    x1: Operand, x2: Operand, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> jax.Array:
    """Whether |x1 - x2| <= atol + rtol * |x2| for every element."""
    return jnp.allclose(x1, x2, rtol=rtol, atol=atol, equal_nan=equal_nan)


@operation
def nan_to_num(
    x: ArrayLike, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None
) -> jax.Array:
    """``x`` with numbers in place of NaN and infinities (by default 0 and the largest finite)."""
    return jnp.nan_to_num(x, nan=nan, posinf=posinf, neginf=neginf)


@operation
def ldexp(x1: Floating, x2: ArrayLike) -> jax.Array:
    """x1 * 2**x2."""
    return jnp.ldexp(x1, x2)


@operation
def polar(abs_: Floating, angle: Floating) -> jax.Array:
    """The complex number of a length and an angle in radians."""
    return jax.lax.complex(abs_ * jnp.cos(angle), abs_ * jnp.sin(angle))


@operation
def saturate_cast(x: ArrayLike, dtype: DType) -> jax.Array:
    """``x`` in another data type; what does not fit becomes its smallest or largest number.

    Example:
        >>> saturate_cast([-1.0, 300.0], "uint8").tolist()
        [0, 255]
    """
    target = jnp.dtype(dtype)
    if jnp.dtype(bool) not in (x.dtype, target):
        (low, high), (lowest, highest) = _limits(x.dtype), _limits(target)
        top = np.asarray(min(high, highest)).astype(x.dtype)
        if top > highest:  # rounding to the type of x has gone beyond what the target holds
            top = np.nextafter(top, np.asarray(0, x.dtype))
        x = jnp.clip(x, np.asarray(max(low, lowest)).astype(x.dtype), top)
    return x.astype(target)


def _limits(dtype: Any) -> tuple[float, float]:
    """The smallest and the largest number of a data type."""
    if jnp.issubdtype(dtype, jnp.integer):
        return int(jnp.iinfo(dtype).min), int(jnp.iinfo(dtype).max)
    return float(jnp.finfo(dtype).min), float(jnp.finfo(dtype).max)
