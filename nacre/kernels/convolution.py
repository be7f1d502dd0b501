"""Convolution, differentiable to any order, fast inside compiled loops on a CPU.

A convolution is linear in its image and linear in its kernel. Three products follow from that, and
each is the derivative of the others::

    convolve         (image, kernel)     -> output
    input_gradient   (output, kernel)    -> image
    kernel_gradient  (image, output)     -> kernel

Each is a primitive of JAX, with these rules: the transpose of one is another; mapped over a new
axis, it is itself with that axis merged into the batch or the channels; on a GPU or TPU it is XLA's
own convolution, on a CPU a native kernel or the form in ``portable``. So gradients of gradients,
forward mode, vmap, loops and export follow, and what runs is decided where the program is compiled.
A bias and max(y, 0) may be had in the same pass, with a derivative made of the same three.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jax import lax
from jax.custom_derivatives import SymbolicZero
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from nacre.core.dtypes import precision
from nacre.core.errors import ShapeError, explain
from nacre.kernels import native_convolution as native, portable
from nacre.kernels.geometry import Geometry, padding_amounts, per_axis
from nacre.kernels.meanings import MEANINGS
from nacre.kernels.operation import vary_alike
from nacre.kernels.widening import along_last, in_single_precision

__all__ = ["convolution", "convolution_transpose"]

Sizes = int | Sequence[int]
Padding = str | Sequence[tuple[int, int]]


def convolution(
    x: jax.Array,
    kernel: jax.Array,
    bias: jax.Array | None = None,
    *,
    activation: Literal["relu"] | None = None,
    strides: Sizes = 1,
    padding: Padding = "valid",
    dilation: Sizes = 1,
    groups: int = 1,
) -> jax.Array:
    """Convolve images with a kernel, channels last, along 1, 2 or 3 spatial axes.

    With t running over the window and i over the input channels::

        y[n, p, o] = sum of x[n, p * strides + t * dilation, i] * kernel[t, i, o]

    and with a bias and an activation, ``activation(y + bias)`` in the same pass.

    Args:
        x: shape ``(batch, *image, inputs)``.
        kernel: shape ``(*window, inputs // groups, outputs)``, of the same type as ``x``. 16-bit
            types are summed in float32.
        bias: shape ``(outputs,)``, or None.
        activation: ``"relu"`` for max(y, 0), or None. Its derivative at 0 is 0.
        strides: the step from one window to the next.
        padding: ``"valid"``, ``"same"``, ``"causal"`` (one spatial axis) or a pair of numbers for
            each axis.
        dilation: the distance between the taps.
        groups: as many groups of channels that do not mix.

    Returns:
        shape ``(batch, *output, outputs)``.

    Raises:
        ShapeError: the channels do not fit the kernel, or the window is larger than the image.

    Example:
        >>> import jax.numpy as jnp
        >>> convolution(jnp.ones((1, 5, 1)), jnp.ones((3, 1, 1)), padding="same")[0, :, 0].tolist()
        [2.0, 3.0, 3.0, 3.0, 2.0]

    Reference: Dumoulin and Visin, "A guide to convolution arithmetic for deep learning", 2016.
    """
    geometry = geometry_of(x, kernel, strides, padding, dilation, groups)
    if bias is None and activation is None:
        return _convolve.bind(*vary_alike((x, kernel)), geometry=geometry)
    if bias is None:
        bias = jnp.zeros(kernel.shape[-1:], x.dtype)
    return convolve_and_finish(*vary_alike((x, kernel, bias)), geometry, activation == "relu")


def convolution_transpose(
    x: jax.Array,
    kernel: jax.Array,
    *,
    image: Sequence[int],
    strides: Sizes = 1,
    padding: Padding = "valid",
    dilation: Sizes = 1,
    groups: int = 1,
) -> jax.Array:
    """The transpose of :func:`convolution` in its image: from outputs back to images.

    Args:
        x: shape ``(batch, *output, outputs)``, where ``output`` is what a convolution over
            ``image`` gives.
        kernel: shape ``(*window, inputs // groups, outputs)``, as that convolution's.
        image: the spatial size of the result.

    Returns:
        shape ``(batch, *image, inputs)``.

    Example:
        >>> import jax.numpy as jnp
        >>> convolution_transpose(
        ...     jnp.ones((1, 2, 1)), jnp.ones((2, 1, 1)), image=(4,), strides=2
        ... )[0, :, 0].tolist()
        [1.0, 1.0, 1.0, 1.0]
    """
    _check(x, kernel, inputs=kernel.shape[-1], groups=groups)
    geometry = _geometry(tuple(image), kernel.shape[:-2], strides, padding, dilation, groups)
    if geometry.output != x.shape[1:-1]:
        raise ShapeError(
            explain(
                "These are not the outputs of a convolution over an image of this size.",
                expected=f"outputs of size {geometry.output} for an image of {tuple(image)}",
                received=f"outputs of size {x.shape[1:-1]}",
            )
        )
    geometry = replace(geometry, precision=precision(x.dtype))
    return _input_gradient.bind(*vary_alike((x, kernel)), geometry=geometry)


def geometry_of(
    x: jax.Array,
    kernel: jax.Array,
    strides: Sizes,
    padding: Padding,
    dilation: Sizes,
    groups: int,
) -> Geometry:
    """The windows of a convolution; raises unless the operands fit."""
    _check(x, kernel, inputs=kernel.shape[-2] * groups, groups=groups)
    image, window = x.shape[1:-1], kernel.shape[:-2]
    geometry = _geometry(image, window, strides, padding, dilation, groups)
    geometry.require_output()
    return replace(geometry, precision=precision(x.dtype))


def _check(x: jax.Array, kernel: jax.Array, inputs: int, groups: int) -> None:
    if x.ndim != kernel.ndim or not 3 <= x.ndim <= 5:
        raise ShapeError(
            explain(
                "A convolution takes images and a kernel with the same 1, 2 or 3 spatial axes.",
                expected="x (batch, *image, inputs) and kernel (*window, inputs, outputs)",
                received=f"x {x.shape} and kernel {kernel.shape}",
            )
        )
    if x.shape[-1] != inputs or kernel.shape[-1] % groups:
        raise ShapeError(
            explain(
                "The channels of the image and of the kernel do not fit.",
                expected=f"x with {inputs} channels, and outputs that {groups} groups divide",
                received=f"x {x.shape} and kernel {kernel.shape}, {groups} groups",
            )
        )
    if x.dtype != kernel.dtype or not jnp.issubdtype(x.dtype, jnp.floating):
        raise TypeError(
            "convolution needs x and kernel of one floating-point type, not "
            f"{x.dtype} and {kernel.dtype}: cast one of them."
        )


def _geometry(
    image: tuple[int, ...],
    window: tuple[int, ...],
    strides: Sizes,
    padding: Padding,
    dilation: Sizes,
    groups: int,
) -> Geometry:
    rank = len(image)
    steps, distances = per_axis(strides, rank), per_axis(dilation, rank)
    amounts = padding_amounts(padding, image, window, steps, distances)
    return Geometry(image, window, steps, amounts, distances, (1,) * rank, groups)


# XLA's own forms

# HIGH is three products of bfloat16 on a TPU. XLA has no such convolution for a GPU.
XLA_PRECISION = {"float32": None, "bfloat16": None, "bf16x3": lax.Precision.HIGH}


def _xla_convolve(x: jax.Array, kernel: jax.Array, geometry: Geometry) -> jax.Array:
    axes = "DHW"[-geometry.rank :]
    return lax.conv_general_dilated(
        x,
        kernel,
        geometry.strides,
        geometry.padding,
        rhs_dilation=geometry.dilation,
        dimension_numbers=(f"N{axes}C", f"{axes}IO", f"N{axes}C"),
        feature_group_count=geometry.groups,
        precision=XLA_PRECISION[geometry.precision],
    )


def _xla_input_gradient(cotangent: jax.Array, kernel: jax.Array, geometry: Geometry) -> jax.Array:
    image = _image_shape(cotangent.shape, kernel.shape, geometry)
    transpose = jax.linear_transpose(
        lambda x: _xla_convolve(x, kernel, geometry), jax.ShapeDtypeStruct(image, cotangent.dtype)
    )
    return transpose(cotangent)[0]


def _xla_kernel_gradient(x: jax.Array, cotangent: jax.Array, geometry: Geometry) -> jax.Array:
    kernel = _kernel_shape(x.shape, cotangent.shape, geometry)
    transpose = jax.linear_transpose(
        lambda k: _xla_convolve(x, k, geometry), jax.ShapeDtypeStruct(kernel, x.dtype)
    )
    return transpose(cotangent)[0]


# The primitives

Shape = tuple[int, ...]


def _output_shape(x: Shape, kernel: Shape, geometry: Geometry) -> Shape:
    return (x[0], *geometry.output, kernel[-1])


def _image_shape(cotangent: Shape, kernel: Shape, geometry: Geometry) -> Shape:
    return (cotangent[0], *geometry.image, kernel[-2] * geometry.groups)


def _kernel_shape(x: Shape, cotangent: Shape, geometry: Geometry) -> Shape:
    return (*geometry.window, x[-1] // geometry.groups, cotangent[-1])


def _primitive(
    name: str,
    shape: Callable[[Shape, Shape, Geometry], Shape],
    on_cpu: Callable[..., jax.Array],
    elsewhere: Callable[..., jax.Array],
) -> Primitive:
    primitive = Primitive(name)

    def abstract(a: Any, b: Any, *, geometry: Geometry) -> Any:
        return a.update(shape=shape(a.shape, b.shape, geometry), weak_type=False)

    primitive.def_abstract_eval(abstract)
    primitive.def_impl(jax.jit(primitive.bind, static_argnames="geometry"))
    mlir.register_lowering(primitive, mlir.lower_fun(elsewhere, multiple_results=False))
    mlir.register_lowering(
        primitive, mlir.lower_fun(on_cpu, multiple_results=False), platform="cpu"
    )
    return primitive


_convolve = _primitive("convolution", _output_shape, native.convolve, _xla_convolve)
_input_gradient = _primitive(
    "convolution_input_gradient", _image_shape, native.input_gradient, _xla_input_gradient
)
_kernel_gradient = _primitive(
    "convolution_kernel_gradient", _kernel_shape, native.kernel_gradient, _xla_kernel_gradient
)

# The cotangent stands for the result; the operand it is asked for is left out.
ad.defbilinear(
    _convolve,
    lambda output, image, kernel, **at: _input_gradient.bind(output, kernel, **at),
    lambda output, image, kernel, **at: _kernel_gradient.bind(image, output, **at),
)
ad.defbilinear(
    _input_gradient,
    lambda image, output, kernel, **at: _convolve.bind(image, kernel, **at),
    lambda image, output, kernel, **at: _kernel_gradient.bind(image, output, **at),
)
ad.defbilinear(
    _kernel_gradient,
    lambda kernel, image, output, **at: _input_gradient.bind(output, kernel, **at),
    lambda kernel, image, output, **at: _convolve.bind(image, kernel, **at),
)


# With bias and activation


@functools.partial(jax.custom_jvp, nondiff_argnums=(3, 4))
def convolve_and_finish(
    x: jax.Array, kernel: jax.Array, bias: jax.Array, geometry: Geometry, relu: bool
) -> jax.Array:
    """``y = x * kernel + bias``, or max(y, 0)."""
    return _finished.bind(x, kernel, bias, geometry=geometry, relu=relu)


def _finished_jvp(
    geometry: Geometry, relu: bool, primals: tuple[jax.Array, ...], tangents: tuple[Any, ...]
) -> tuple[jax.Array, jax.Array]:
    """``y' = x' * kernel + x * kernel' + bias'``, where y > 0."""
    x, kernel, bias = primals
    y = convolve_and_finish(x, kernel, bias, geometry, relu)
    x_change, kernel_change, bias_change = tangents
    terms = []
    if not isinstance(x_change, SymbolicZero):
        terms.append(_convolve.bind(x_change, kernel, geometry=geometry))
    if not isinstance(kernel_change, SymbolicZero):
        terms.append(_convolve.bind(x, kernel_change, geometry=geometry))
    if not isinstance(bias_change, SymbolicZero):
        terms.append(along_last(bias_change, y.shape))
    change = functools.reduce(jnp.add, terms) if terms else jnp.zeros_like(y)
    return y, jnp.where(y > 0, change, jnp.zeros_like(change)) if relu else change


convolve_and_finish.defjvp(_finished_jvp, symbolic_zeros=True)


def _one_after_another(
    convolve: Callable[..., jax.Array],
    x: jax.Array,
    kernel: jax.Array,
    bias: jax.Array,
    geometry: Geometry,
    relu: bool,
) -> jax.Array:
    y = convolve(x, kernel, geometry=geometry)
    y = y + along_last(bias, y.shape)
    return jax.nn.relu(y) if relu else y


def _finished_on_cpu(
    x: jax.Array, kernel: jax.Array, bias: jax.Array, geometry: Geometry, relu: bool
) -> jax.Array:
    if native.serves(x, kernel.shape, geometry):
        return native.convolve(x, kernel, geometry, bias, relu)
    portably = functools.partial(_one_after_another, portable.convolve)
    return in_single_precision(portably)(x, kernel, bias, geometry, relu)


_finished = Primitive("convolution_with_bias")
MEANINGS["convolution_with_bias"] = functools.partial(_one_after_another, _convolve.bind)
_finished.def_abstract_eval(
    lambda x, kernel, bias, geometry, relu: x.update(
        shape=_output_shape(x.shape, kernel.shape, geometry), weak_type=False
    )
)
_finished.def_impl(jax.jit(_finished.bind, static_argnames=("geometry", "relu")))
mlir.register_lowering(
    _finished,
    mlir.lower_fun(functools.partial(_one_after_another, _xla_convolve), multiple_results=False),
)
mlir.register_lowering(
    _finished, mlir.lower_fun(_finished_on_cpu, multiple_results=False), platform="cpu"
)


# Mapping over a new axis


def kernel_gradients(x: jax.Array, cotangent: jax.Array, geometry: Geometry) -> jax.Array:
    """The gradients of several kernels, each of its own batch: the first axis of both operands."""
    return jax.vmap(functools.partial(_kernel_gradient.bind, geometry=geometry))(x, cotangent)


def _merge_into_batch(a: jax.Array, axis: int) -> jax.Array:
    front = jnp.moveaxis(a, axis, 0)  # (mapped, batch, ...)
    mapped, batch, *rest = front.shape
    return front.reshape(mapped * batch, *rest)


def _along_front(a: jax.Array, axis: int | None, size: int) -> jax.Array:
    return jnp.broadcast_to(a, (size, *a.shape)) if axis is None else jnp.moveaxis(a, axis, 0)


def _merge_into_channels(mapped_first: jax.Array) -> jax.Array:
    last = jnp.moveaxis(mapped_first, 0, -2)
    *rest, mapped, channels = last.shape
    return last.reshape(*rest, mapped * channels)


def _map(
    primitive: Primitive,
    operands: Sequence[jax.Array],
    axes: Sequence[int | None],
    *,
    geometry: Geometry,
) -> tuple[jax.Array, int]:
    """Merge the mapped axis into the batch if only images have it, else into the channels.

    Merged into the channels, each element of the mapped axis becomes a group (or as many as it
    had); outputs that share one image and one group need no groups of their own.
    """
    (a, b), (axis_a, axis_b) = operands, axes
    size = next(x.shape[axis] for x, axis in zip(operands, axes) if axis is not None)
    if axis_b is None and axis_a is not None and primitive is not _kernel_gradient:
        y = primitive.bind(_merge_into_batch(a, axis_a), b, geometry=geometry)
        return y.reshape(size, y.shape[0] // size, *y.shape[1:]), 0
    shares_image = axis_a is None and geometry.groups == 1 and primitive is not _input_gradient
    if not shares_image:
        a = _merge_into_channels(_along_front(a, axis_a, size))
        geometry = replace(geometry, groups=geometry.groups * size)
    b = _merge_into_channels(_along_front(b, axis_b, size))
    y = primitive.bind(a, b, geometry=geometry)
    split = y.reshape(*y.shape[:-1], size, y.shape[-1] // size)
    return split, split.ndim - 2


for _product in (_convolve, _input_gradient, _kernel_gradient):
    batching.primitive_batchers[_product] = functools.partial(_map, _product)


def _map_finished(
    operands: Sequence[jax.Array], axes: Sequence[int | None], *, geometry: Geometry, relu: bool
) -> tuple[jax.Array, int]:
    (x, kernel, bias), (axis, of_kernel, of_bias) = operands, axes
    if axis is not None and of_kernel is None and of_bias is None:
        size = x.shape[axis]
        y = _finished.bind(_merge_into_batch(x, axis), kernel, bias, geometry=geometry, relu=relu)
        return y.reshape(size, y.shape[0] // size, *y.shape[1:]), 0

    def apart(x: jax.Array, kernel: jax.Array, bias: jax.Array) -> jax.Array:
        return _one_after_another(_convolve.bind, x, kernel, bias, geometry, relu)

    return jax.vmap(apart, tuple(axes))(x, kernel, bias), 0


batching.primitive_batchers[_finished] = _map_finished
