"""Recurrent networks over a whole sequence: simple, LSTM and GRU.

All have one shape. The inputs are projected by one matrix product for all steps; then each step
adds products of the state with the recurrent kernels, and a *cell* turns the sum into the next
state. Written plainly, the gradient of a recurrent kernel would be summed up step by step. But a
change ``dU`` of a kernel acts on a step exactly as a change ``h dU`` of its projected input, with
``h`` what the kernel was multiplied with. So the derivative of the recurrence is taken in its
projected inputs and first state alone, and the kernel's gradient becomes one matrix product over
all steps at the end. It holds for forward and reverse mode and for higher derivatives.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from nacre.kernels.linear import linear

__all__ = ["gru", "lstm", "simple_rnn"]

Activation = Callable[[jax.Array], jax.Array]
State = tuple[jax.Array, ...]
Product = Callable[[jax.Array], jax.Array]
Cell = Callable[[jax.Array, State, Product], State]


class Sequences(NamedTuple):
    """What a recurrence leaves behind, time first."""

    outputs: jax.Array
    multiplied: tuple[jax.Array, ...]  # what each recurrent kernel was multiplied with
    last: State


def simple_rnn(
    x: jax.Array,
    kernel: jax.Array,
    recurrent_kernel: jax.Array,
    bias: jax.Array | None = None,
    state: State | None = None,
    *,
    mask: jax.Array | None = None,
    recurrent_dropout: jax.Array | None = None,
    activation: Activation = jnp.tanh,
    go_backwards: bool = False,
    unroll: int = 1,
) -> tuple[jax.Array, State]:
    """A fully connected recurrence: ``h_t = activation(x_t W + h_(t-1) U + b)``.

    Args:
        x: shape ``(batch, time, features)``.
        kernel: W, shape ``(features, units)``.
        recurrent_kernel: U, shape ``(units, units)``.
        bias: b, shape ``(units,)``, or None.
        state: ``(h_0,)``, of shape ``(batch, units)``; zeros by default.
        mask: shape ``(batch, time)``; where it is False the state stays, and the output repeats.
        recurrent_dropout: shape ``(batch, units)``; multiplies the state before U.
        activation: a function.
        go_backwards: read the sequence from its end; outputs come in the order they were made.
        unroll: how many steps the compiled loop takes in one go.

    Returns:
        all outputs, shape ``(batch, time, units)``, and the last state ``(h,)``.

    Example:
        >>> import jax.numpy as jnp
        >>> one = jnp.ones((1, 1))
        >>> y, (h,) = simple_rnn(jnp.ones((1, 3, 1)), one, one, activation=lambda a: a)
        >>> y[0, :, 0].tolist()
        [1.0, 2.0, 3.0]

    Reference: Elman, "Finding structure in time", Cognitive Science 14, 1990.
    """
    return _run(
        SimpleCell(activation),
        linear(x, kernel, bias),
        (recurrent_kernel,),
        _first_state(state, 1, x, recurrent_kernel),
        mask,
        recurrent_dropout,
        go_backwards,
        unroll,
    )


def lstm(
    x: jax.Array,
    kernel: jax.Array,
    recurrent_kernel: jax.Array,
    bias: jax.Array | None = None,
    state: State | None = None,
    *,
    mask: jax.Array | None = None,
    recurrent_dropout: jax.Array | None = None,
    activation: Activation = jnp.tanh,
    recurrent_activation: Activation = jax.nn.sigmoid,
    go_backwards: bool = False,
    unroll: int = 1,
) -> tuple[jax.Array, State]:
    """Long short-term memory.

    With ``(i, f, g, o) = x_t W + h_(t-1) U + b`` side by side, ``s`` the recurrent activation and
    ``a`` the activation::

        c_t = s(f) c_(t-1) + s(i) a(g)
        h_t = s(o) a(c_t)

    Args:
        kernel: W, shape ``(features, 4 * units)``.
        recurrent_kernel: U, shape ``(units, 4 * units)``.
        bias: b, shape ``(4 * units,)``, or None.
        state: ``(h_0, c_0)``.

    The other arguments and the results are those of :func:`simple_rnn`.

    Reference: Hochreiter and Schmidhuber, "Long short-term memory", Neural Computation 9, 1997;
    Gers, Schmidhuber and Cummins, "Learning to forget", Neural Computation 12, 2000.
    """
    return _run(
        LSTMCell(activation, recurrent_activation),
        linear(x, kernel, bias),
        (recurrent_kernel,),
        _first_state(state, 2, x, recurrent_kernel),
        mask,
        recurrent_dropout,
        go_backwards,
        unroll,
    )


def gru(
    x: jax.Array,
    kernel: jax.Array,
    recurrent_kernel: jax.Array,
    bias: jax.Array | None = None,
    state: State | None = None,
    *,
    mask: jax.Array | None = None,
    recurrent_dropout: jax.Array | None = None,
    activation: Activation = jnp.tanh,
    recurrent_activation: Activation = jax.nn.sigmoid,
    reset_after: bool = True,
    go_backwards: bool = False,
    unroll: int = 1,
) -> tuple[jax.Array, State]:
    """The gated recurrent unit.

    With W = (W_z, W_r, W_h) and U = (U_z, U_r, U_h) side by side, ``s`` the recurrent activation
    and ``a`` the activation::

        z = s(x_t W_z + h_(t-1) U_z)
        r = s(x_t W_r + h_(t-1) U_r)
        g = a(x_t W_h + r (h_(t-1) U_h))    reset_after
        g = a(x_t W_h + (r h_(t-1)) U_h)    otherwise
        h_t = z h_(t-1) + (1 - z) g

    Args:
        kernel: W, shape ``(features, 3 * units)``.
        recurrent_kernel: U, shape ``(units, 3 * units)``.
        bias: with ``reset_after`` shape ``(2, 3 * units)``, added to the products with W and with
            U; otherwise ``(3 * units,)``; or None.
        reset_after: whether the reset gate comes after the product.

    The other arguments and the results are those of :func:`simple_rnn`.

    Reference: Cho et al., "Learning phrase representations using RNN encoder-decoder for
    statistical machine translation", EMNLP 2014.
    """
    units = recurrent_kernel.shape[0]
    if reset_after:
        input_bias, recurrent_bias = (None, None) if bias is None else bias
        projected = linear(x, kernel, input_bias)  # (batch, time, 3 * units)
        # What is added to the recurrent products comes first, the candidate's input last.
        candidate = jnp.zeros_like(projected[..., 2 * units :])
        gates = jnp.concatenate([projected[..., : 2 * units], candidate], axis=-1)
        if recurrent_bias is not None:
            gates = gates + recurrent_bias.reshape(1, 1, -1)
        projected = jnp.concatenate([gates, projected[..., 2 * units :]], axis=-1)
        kernels: State = (recurrent_kernel,)
    else:
        projected = linear(x, kernel, bias)
        kernels = (recurrent_kernel[:, : 2 * units], recurrent_kernel[:, 2 * units :])
    cell = GRUAfterCell if reset_after else GRUBeforeCell
    return _run(
        cell(activation, recurrent_activation),
        projected,
        kernels,
        _first_state(state, 1, x, recurrent_kernel),
        mask,
        recurrent_dropout,
        go_backwards,
        unroll,
    )


# The cells: from a step's projected input and the last state to the next state, output first.
# A product is what the recurrent kernels add; its columns are those of the projected input, in
# turn from the left.


class SimpleCell(NamedTuple):
    activation: Activation

    def __call__(self, projected: jax.Array, state: State, product: Product) -> State:
        (h,) = state
        return (self.activation(projected + product(h)),)


class LSTMCell(NamedTuple):
    activation: Activation
    recurrent_activation: Activation

    def __call__(self, projected: jax.Array, state: State, product: Product) -> State:
        h, c = state
        total = projected + product(h)
        i, f, _, o = _gates(self.recurrent_activation, total, 4)
        g = self.activation(jnp.split(total, 4, axis=-1)[2])
        c = f * c + i * g
        return o * self.activation(c), c


class GRUAfterCell(NamedTuple):
    activation: Activation
    recurrent_activation: Activation

    def __call__(self, projected: jax.Array, state: State, product: Product) -> State:
        (h,) = state
        units = h.shape[-1]
        total = projected[:, : 3 * units] + product(h)
        z, r = _gates(self.recurrent_activation, total[:, : 2 * units], 2)
        g = self.activation(projected[:, 3 * units :] + r * total[:, 2 * units :])
        return (z * h + (1 - z) * g,)


class GRUBeforeCell(NamedTuple):
    activation: Activation
    recurrent_activation: Activation

    def __call__(self, projected: jax.Array, state: State, product: Product) -> State:
        (h,) = state
        units = h.shape[-1]
        z, r = _gates(self.recurrent_activation, projected[:, : 2 * units] + product(h), 2)
        g = self.activation(projected[:, 2 * units :] + product(r * h))
        return (z * h + (1 - z) * g,)


def _gates(activation: Activation, total: jax.Array, count: int) -> list[jax.Array]:
    """Activate gates that stand side by side all at once, then take them apart.

    On a CPU, XLA computes an activation of a slice one element at a time, and of a whole array
    several at a time; the barrier keeps the two apart.
    """
    batch, columns = total.shape
    gates = activation(total.reshape(batch, count, columns // count))
    gates = lax.optimization_barrier(gates.reshape(batch, columns))
    return jnp.split(gates, count, axis=-1)


# The recurrence


def _first_state(state: State | None, count: int, x: jax.Array, kernel: jax.Array) -> State:
    if state is not None:
        return tuple(state)
    return (jnp.zeros((x.shape[0], kernel.shape[0]), x.dtype),) * count


# Compiled as one, so that an eager call of the same shapes does not trace again.
@functools.partial(jax.jit, static_argnames=("cell", "go_backwards", "unroll"))
def _run(
    cell: Cell,
    projected: jax.Array,
    kernels: State,
    state: State,
    mask: jax.Array | None,
    dropout: jax.Array | None,
    go_backwards: bool,
    unroll: int,
) -> tuple[jax.Array, State]:
    projected = jnp.swapaxes(projected, 0, 1)  # (time, batch, columns)
    if mask is not None:
        mask = jnp.swapaxes(mask, 0, 1)[..., None]  # (time, batch, 1)
    if go_backwards:
        projected = projected[::-1]
        mask = None if mask is None else mask[::-1]
    sequences = _recurrence(cell, unroll, kernels, mask, projected, state, dropout)
    return jnp.swapaxes(sequences.outputs, 0, 1), sequences.last


def _scan(
    cell: Cell,
    unroll: int,
    kernels: State,
    mask: jax.Array | None,
    projected: jax.Array,
    state: State,
    dropout: jax.Array | None,
) -> Sequences:
    def step(state: State, inputs: Any) -> tuple[State, Any]:
        projected_now, mask_now = inputs
        multiplied: list[jax.Array] = []

        def product(h: jax.Array) -> jax.Array:
            h = h if dropout is None else h * dropout
            multiplied.append(h)
            return h @ kernels[len(multiplied) - 1]

        new = cell(projected_now, state, product)
        if mask_now is not None:
            new = tuple(jnp.where(mask_now, n, old) for n, old in zip(new, state))
        return new, (new[0], tuple(multiplied))

    last, (outputs, multiplied) = lax.scan(step, state, (projected, mask), unroll=unroll)
    return Sequences(outputs, multiplied, last)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def _recurrence(
    cell: Cell,
    unroll: int,
    kernels: State,
    mask: jax.Array | None,
    projected: jax.Array,
    state: State,
    dropout: jax.Array | None,
) -> Sequences:
    return _scan(cell, unroll, kernels, mask, projected, state, dropout)


@_recurrence.defjvp
def _recurrence_jvp(
    cell: Cell, unroll: int, primals: tuple[Any, ...], tangents: tuple[Any, ...]
) -> tuple[Sequences, Sequences]:
    kernels, mask, *others = primals
    kernel_changes, _, change, *other_changes = tangents
    scan = functools.partial(_scan, cell, unroll, kernels, mask)
    sequences, derivative = jax.linearize(scan, *others)
    shifts = [jnp.matmul(h, dU) for h, dU in zip(sequences.multiplied, kernel_changes)]
    shift = jnp.concatenate(shifts, axis=-1)  # (time, batch, columns of the kernels)
    without_product = change.shape[-1] - shift.shape[-1]
    shift = jnp.pad(shift, ((0, 0), (0, 0), (0, without_product)))
    return sequences, derivative(change + shift, *other_changes)
