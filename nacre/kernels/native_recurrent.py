"""The native kernels of recurrent networks: LSTM, GRU and the simple one.

Forwards one call goes through all steps, the product of the input with its kernel included.
Backwards one call gives the gradient of the sums of every step; those of the kernels and of the
input are then products of matrices over all steps at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nacre.kernels.linear import linear, product
from nacre.kernels.operation import Operation
from nacre.kernels.selection import call

__all__ = ["ACTIVATIONS", "CELLS", "Recurrence", "recurrence"]

State = tuple[jax.Array, ...]
Arrays = Sequence[jax.Array]

CELLS = ("simple", "lstm", "gru")
ACTIVATIONS = ("tanh", "sigmoid", "relu")
GATES = {"simple": 1, "lstm": 4, "gru": 3}
SAVED_A_UNIT = {"simple": 1, "lstm": 4, "gru": 4}

# The two kernels are multiplied together step by step if they stay in a cache of this size. If not,
# the input is multiplied with its kernel beforehand, all steps at once.
FUSED_BYTES = 2 << 20

# Of the saved gates among the operands of the way back: where they are as many as the sums, their
# gradients are written over them.
GATES_PLACE = 6


class Recurrence(NamedTuple):
    """What is computed, as it is known where the program is compiled.

    ``meaning`` takes the arguments of :func:`recurrence` after ``at``, and returns the same.
    """

    cell: str
    activation: str
    go_backwards: bool
    meaning: Callable[..., Any]


def recurrence(
    at: Recurrence,
    x: jax.Array,
    kernel: jax.Array,
    recurrent_kernel: jax.Array,
    bias: jax.Array | None,
    state: State,
    mask: jax.Array | None,
    dropout: jax.Array | None,
) -> tuple[jax.Array, State]:
    """All outputs and the last state. No array is empty; all but the mask are of one type."""
    h, *c = state
    missing = jnp.zeros((0,), x.dtype)
    outputs, last_h, last_c = _recurrence(
        at,
        x,
        kernel,
        recurrent_kernel,
        missing if bias is None else bias,
        h,
        *(c or [missing]),
        jnp.zeros((0,), jnp.bool_) if mask is None else mask.astype(jnp.bool_),
        missing if dropout is None else dropout,
    )
    return outputs, (last_h, last_c) if c else (last_h,)


class Operands(NamedTuple):
    """Those of the operation; without elements where they are missing."""

    x: jax.Array  # (batch, time, features)
    kernel: jax.Array
    recurrent_kernel: jax.Array
    bias: jax.Array
    h: jax.Array
    c: jax.Array
    mask: jax.Array
    dropout: jax.Array


class Saved(NamedTuple):
    """What the way back needs; time is that of the input, but for the outputs that of the steps."""

    outputs: Any  # (batch, time, units)
    gates: Any  # (batch, time, several * units): what the cells made of their sums
    memory: Any  # (batch, time, units), c
    multiplied: Any  # (batch, time, units): what the recurrent kernel was multiplied with


def _floats(*shape: int) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, jnp.float32)


def _meaning(at: Recurrence, *operands: jax.Array) -> list[jax.Array]:
    given = [None if a.size == 0 else a for a in operands]
    x, kernel, recurrent_kernel, bias, h, c, mask, dropout = given
    state = (h,) if c is None else (h, c)
    outputs, last = at.meaning(x, kernel, recurrent_kernel, bias, state, mask, dropout)
    return [outputs, *last] if len(last) == 2 else [outputs, *last, jnp.zeros((0,), outputs.dtype)]


def _shapes_saved(at: Recurrence, *operands: Any) -> Saved:
    x, h, c = operands[0], operands[4], operands[5]
    batch, time, units = *x.shape[:2], h.shape[-1]
    sequence = _floats(batch, time, units)
    gates = _floats(batch, time, SAVED_A_UNIT[at.cell] * units)
    return Saved(sequence, gates, sequence if c.size else _floats(0), sequence)


def _settings(at: Recurrence) -> dict[str, Any]:
    return {
        "cell": np.int64(CELLS.index(at.cell)),
        "activation": np.int64(ACTIVATIONS.index(at.activation)),
        "backwards": at.go_backwards,
    }


def _forward(at: Recurrence, saving: bool, *arrays: jax.Array) -> list[jax.Array]:
    operands = Operands(*arrays)
    saved = _shapes_saved(at, *arrays)
    first = [operands.x, operands.kernel]
    if 4 * (operands.kernel.size + operands.recurrent_kernel.size) > FUSED_BYTES:
        first = [linear(operands.x, operands.kernel), jnp.zeros((0,), jnp.float32)]
    nothing = _floats(0)
    results = [saved.outputs, _floats(*operands.h.shape), _floats(*operands.c.shape)]
    results += saved[1:] if saving else [nothing] * 3
    results = call("recurrent_forward", results, *first, *arrays[2:], **_settings(at))
    return [*results[:3], results[0], *results[3:]] if saving else results[:3]


def _backward(
    at: Recurrence,
    examples: int,
    arrays: Arrays,
    saved_arrays: Arrays,
    changes: Sequence[jax.Array | None],
) -> list[Callable[[], jax.Array]]:
    operands, saved = Operands(*arrays), Saved(*saved_arrays)
    x, h, c = operands.x, operands.h, operands.c
    gates, units = GATES[at.cell], h.shape[-1]
    sums = _floats(*x.shape[:2], gates * units)
    two_sums = at.cell == "gru"
    bias = _floats(2 if two_sums else 1, gates * units)
    of_x, of_h, of_bias, of_first_h, of_first_c = call(
        "recurrent_backward",
        [sums, sums if two_sums else _floats(0), bias, _floats(*h.shape), _floats(*c.shape)],
        operands.recurrent_kernel,
        *operands[4:],
        *saved[:3],
        *(jnp.zeros((0,), jnp.float32) if a is None else a for a in changes),
        aliases={} if two_sums else {GATES_PLACE: 0},
        **_settings(at),
    )
    of_h = of_h if two_sums else of_x

    def kernel_gradient(multiplied: jax.Array, sums: jax.Array) -> jax.Array:
        if examples == 1:
            return product(_flat(multiplied), _flat(sums), a_transposed=True)
        several = (a.reshape(examples, -1, a.shape[-1]) for a in (multiplied, sums))
        return jnp.einsum("enf,eng->efg", *several)

    def bias_gradient() -> jax.Array:
        if examples == 1:
            return of_bias.reshape(operands.bias.shape)
        total = [
            jnp.sum(sums.reshape(examples, -1, sums.shape[-1]), 1)
            for sums in ([of_x, of_h] if two_sums else [of_x])
        ]
        return jnp.stack(total, 1).reshape(examples, *operands.bias.shape)

    def dropout_gradient() -> jax.Array:
        before = jnp.concatenate([h[:, None], saved.outputs[:, :-1]], 1)  # (batch, time, units)
        before = before[:, ::-1] if at.go_backwards else before
        return jnp.sum(before * jnp.matmul(of_h, operands.recurrent_kernel.T), 1)

    return [
        lambda: product(_flat(of_x), operands.kernel, b_transposed=True).reshape(x.shape),
        lambda: kernel_gradient(x, of_x),
        lambda: kernel_gradient(saved.multiplied, of_h),
        bias_gradient,
        lambda: of_first_h,
        lambda: of_first_c,
        lambda: jnp.zeros_like(operands.mask),
        dropout_gradient,
    ]


def _flat(sequence: jax.Array) -> jax.Array:
    return sequence.reshape(-1, sequence.shape[-1])


_recurrence = Operation(
    name="recurrence",
    operands=len(Operands._fields),
    results=3,
    saved=len(Saved._fields),
    meaning=_meaning,
    forward=_forward,
    shapes_saved=_shapes_saved,
    backward=_backward,
    with_batch=(True, False, False, False, True, True, True, True),
)
