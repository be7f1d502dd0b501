"""Recurrent networks over a whole sequence: simple, LSTM and GRU.

All have one shape: each step adds a product of its input with the kernel and a product of the
state with the recurrent kernel, and a *cell* turns the sum into the next state.

For wide layers the gradient of the kernels is taken in another way than step by step. A change
``dW`` of a kernel acts on a step exactly as a change ``v dW`` of the sum, with ``v`` what the
kernel was multiplied with. So the derivative of the recurrence is taken in the sums and the first
state alone, and the gradient of a kernel becomes one matrix product over all steps at the end.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from nacre.kernels.linear import linear
from nacre.kernels.native_recurrent import Recurrence, recurrence
from nacre.kernels.selection import native
from nacre.kernels.widening import fits_float32

__all__ = ["gru", "lstm", "simple_rnn"]

Activation = Callable[[jax.Array], jax.Array]
State = tuple[jax.Array, ...]
Product = Callable[[jax.Array], jax.Array]
Cell = Callable[[jax.Array, State, Product], State]

# From this many units on, the gradient of the recurrent kernel is summed up at the end: a third
# faster at 256 units, a third slower at 64, where keeping what it needs costs more than it saves.
WIDE = 256


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
    unroll: int | bool = 1,
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
        unroll: how many steps the compiled loop takes in one go; True for all.

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
        x,
        (kernel, bias),
        ((recurrent_kernel, None),),
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
    unroll: int | bool = 1,
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
        x,
        (kernel, bias),
        ((recurrent_kernel, None),),
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
    unroll: int | bool = 1,
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
    cell: Cell
    if reset_after:
        cell = GRUAfterCell(activation, recurrent_activation)
        input_bias, recurrent_bias = (None, None) if bias is None else bias
        products: tuple[Affine, ...] = ((recurrent_kernel, recurrent_bias),)
    else:
        cell, input_bias = GRUBeforeCell(activation, recurrent_activation), bias
        gates, candidate = jnp.split(recurrent_kernel, [2 * units], axis=1)
        products = ((gates, None), (candidate, None))
    return _run(
        cell,
        x,
        (kernel, input_bias),
        products,
        _first_state(state, 1, x, recurrent_kernel),
        mask,
        recurrent_dropout,
        go_backwards,
        unroll,
    )


# The cells: from the projected input of a step and the last state to the next state, output first.
# Each call of ``product`` multiplies with the next recurrent kernel.


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
        i, f, g, o = jnp.split(total, 4, axis=-1)
        i, f, o = map(self.recurrent_activation, (i, f, o))
        c = f * c + i * self.activation(g)
        return o * self.activation(c), c


class GRUAfterCell(NamedTuple):
    activation: Activation
    recurrent_activation: Activation

    def __call__(self, projected: jax.Array, state: State, product: Product) -> State:
        (h,) = state
        z, r, g = jnp.split(projected, 3, axis=-1)
        z_h, r_h, g_h = jnp.split(product(h), 3, axis=-1)
        z, r = self.recurrent_activation(z + z_h), self.recurrent_activation(r + r_h)
        g = self.activation(g + r * g_h)
        return (z * h + (1 - z) * g,)


class GRUBeforeCell(NamedTuple):
    activation: Activation
    recurrent_activation: Activation

    def __call__(self, projected: jax.Array, state: State, product: Product) -> State:
        (h,) = state
        z, r, g = jnp.split(projected, 3, axis=-1)
        z_h, r_h = jnp.split(product(h), 2, axis=-1)
        z, r = self.recurrent_activation(z + z_h), self.recurrent_activation(r + r_h)
        g = self.activation(g + product(r * h))
        return (z * h + (1 - z) * g,)


# The recurrence

Affine = tuple[jax.Array, jax.Array | None]  # a kernel and a bias


class Sequences(NamedTuple):
    """What a recurrence leaves behind, time first."""

    outputs: jax.Array
    multiplied: tuple[jax.Array, ...]  # what each recurrent kernel was multiplied with
    last: State


def _first_state(state: State | None, count: int, x: jax.Array, kernel: jax.Array) -> State:
    if state is not None:
        return tuple(state)
    return (jnp.zeros((x.shape[0], kernel.shape[0]), x.dtype),) * count


# Compiled as one, so that an eager call of the same shapes does not trace again.
@functools.partial(jax.jit, static_argnames=("cell", "go_backwards", "unroll"))
def _run(
    cell: Cell,
    x: jax.Array,
    projection: Affine,
    products: tuple[Affine, ...],
    state: State,
    mask: jax.Array | None,
    dropout: jax.Array | None,
    go_backwards: bool,
    unroll: int | bool,
) -> tuple[jax.Array, State]:
    arrays = (x, projection, products, state, mask, dropout)
    portable = functools.partial(_run_portable, cell, go_backwards, unroll)
    kernel = _native(cell, go_backwards, unroll, arrays)
    if kernel is None:
        return portable(*arrays)
    bias, second = projection[1], products[0][1]
    if bias is not None and second is not None:
        bias = jnp.stack([bias, second])
    return recurrence(kernel, x, projection[0], products[0][0], bias, state, mask, dropout)


CELL_NAMES: dict[type, str] = {SimpleCell: "simple", LSTMCell: "lstm", GRUAfterCell: "gru"}
ACTIVATION_NAMES: dict[Any, str] = {
    jnp.tanh: "tanh",
    lax.tanh: "tanh",
    jax.nn.sigmoid: "sigmoid",
    lax.logistic: "sigmoid",
    jax.nn.relu: "relu",
}


def _native(cell: Cell, go_backwards: bool, unroll: int | bool, arrays: Any) -> Recurrence | None:
    """The native kernel for this, if there is one."""
    if jax.default_backend() != "cpu" or native().library is None:
        return None
    name, activation = CELL_NAMES.get(type(cell)), ACTIVATION_NAMES.get(cell.activation)
    gates = getattr(cell, "recurrent_activation", jax.nn.sigmoid)
    if name is None or activation is None or ACTIVATION_NAMES.get(gates) != "sigmoid":
        return None
    *others, _, dropout = arrays  # the mask may be of any type
    types = {a.dtype for a in jax.tree.leaves((others, dropout))}
    if len(types) > 1 or not all(map(fits_float32, types)):
        return None
    if any(a.size == 0 for a in jax.tree.leaves(arrays)):
        return None
    return Recurrence(name, activation, go_backwards, Meaning(cell, go_backwards, unroll))


class Meaning(NamedTuple):
    """The portable form with the arguments of the native one."""

    cell: Cell
    go_backwards: bool
    unroll: int | bool

    def __call__(
        self,
        x: jax.Array,
        kernel: jax.Array,
        recurrent_kernel: jax.Array,
        bias: jax.Array | None,
        state: State,
        mask: jax.Array | None,
        dropout: jax.Array | None,
    ) -> tuple[jax.Array, State]:
        second = None
        if isinstance(self.cell, GRUAfterCell) and bias is not None:
            bias, second = bias
        return _run_portable(
            *self, x, (kernel, bias), ((recurrent_kernel, second),), state, mask, dropout
        )


def _run_portable(
    cell: Cell,
    go_backwards: bool,
    unroll: int | bool,
    x: jax.Array,
    projection: Affine,
    products: tuple[Affine, ...],
    state: State,
    mask: jax.Array | None,
    dropout: jax.Array | None,
) -> tuple[jax.Array, State]:
    x = jnp.swapaxes(x, 0, 1)  # (time, batch, features)
    if mask is not None:
        mask = jnp.swapaxes(mask, 0, 1)[..., None]  # (time, batch, 1)
    if go_backwards:
        x = x[::-1]
        mask = None if mask is None else mask[::-1]
    if isinstance(cell, SimpleCell | LSTMCell) and state[0].shape[-1] >= WIDE:
        sums = linear(x, *projection)  # (time, batch, columns)
        sequences = _wide(cell, unroll, products[0][0], mask, sums, state, dropout)
    else:
        sequences = _scan(cell, unroll, projection, products, mask, x, state, dropout)
    return jnp.swapaxes(sequences.outputs, 0, 1), sequences.last


def _scan(
    cell: Cell,
    unroll: int | bool,
    projection: Affine | None,
    products: tuple[Affine, ...],
    mask: jax.Array | None,
    x: jax.Array,
    state: State,
    dropout: jax.Array | None,
) -> Sequences:
    def step(state: State, inputs: Any) -> tuple[State, Any]:
        x_now, mask_now = inputs
        multiplied: list[jax.Array] = []

        def product(h: jax.Array) -> jax.Array:
            h = h if dropout is None else h * dropout
            multiplied.append(h)
            return linear(h, *products[len(multiplied) - 1])

        projected = x_now if projection is None else linear(x_now, *projection)
        new = cell(projected, state, product)
        if mask_now is not None:
            new = tuple(jnp.where(mask_now, n, old) for n, old in zip(new, state))
        return new, (new[0], tuple(multiplied))

    last, (outputs, multiplied) = lax.scan(step, state, (x, mask), unroll=unroll)
    return Sequences(outputs, multiplied, last)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def _wide(
    cell: Cell,
    unroll: int | bool,
    kernel: jax.Array,
    mask: jax.Array | None,
    sums: jax.Array,
    state: State,
    dropout: jax.Array | None,
) -> Sequences:
    """The recurrence of a cell with one product, which is added to what was projected."""
    return _scan(cell, unroll, None, ((kernel, None),), mask, sums, state, dropout)


@_wide.defjvp
def _wide_jvp(
    cell: Cell, unroll: int, primals: tuple[Any, ...], tangents: tuple[Any, ...]
) -> tuple[Sequences, Sequences]:
    kernel, mask, *others = primals
    kernel_change, _, sums_change, *other_changes = tangents
    scan = functools.partial(_scan, cell, unroll, None, ((kernel, None),), mask)
    sequences, derivative = jax.linearize(scan, *others)
    shift = linear(sequences.multiplied[0], kernel_change)  # (time, batch, columns)
    return sequences, derivative(sums_change + shift, *other_changes)
