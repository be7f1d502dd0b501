"""Recurrent layers: a state that is carried from step to step of a sequence."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nacre import activations, initializers
from nacre.core.arguments import fraction, positive_integer
from nacre.core.errors import ShapeError, explain
from nacre.core.layer import Layer, check_rank
from nacre.core.registry import register
from nacre.core.scope import Scope, annotate
from nacre.kernels import gru, lstm, simple_rnn

__all__ = ["GRU", "LSTM", "SimpleRNN"]

State = tuple[jax.Array, ...]


class Recurrent(Layer):
    """What the recurrent layers share: weights, state, masks and dropout.

    Args:
        units: the size of the state and of the output.
        activation: of the new state.
        use_bias: whether there is a bias b.
        kernel_initializer, recurrent_initializer, bias_initializer: how W, U and b start.
        kernel_regularizer, recurrent_regularizer, bias_regularizer: penalties on W, U and b.
        dropout: the share of the inputs that is dropped in training. One draw serves all steps of
            a sequence.
        recurrent_dropout: the same for the state before its product with U, and for all gates.
        return_sequences: return the outputs of all steps instead of the last.
        return_state: also return the last state.
        go_backwards: read the sequence from its end; outputs come in the order they were made.
        stateful: start from the last state of the batch before; see :meth:`reset_state`.
        unroll: compile a copy of the step for each step instead of a loop.

    Masked steps keep the state, and repeat the output.
    """

    gates: int
    state_names: tuple[str, ...] = ("h",)

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None,
        bias_regularizer: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        owner = type(self).__name__
        self.units = positive_integer(owner, "units", units)
        self.activation = activations.get(activation)
        self.use_bias = use_bias
        self.kernel_initializer = kernel_initializer
        self.recurrent_initializer = recurrent_initializer
        self.bias_initializer = bias_initializer
        self.kernel_regularizer = kernel_regularizer
        self.recurrent_regularizer = recurrent_regularizer
        self.bias_regularizer = bias_regularizer
        self.dropout = fraction(owner, "dropout", dropout)
        self.recurrent_dropout = fraction(owner, "recurrent_dropout", recurrent_dropout)
        self.return_sequences = return_sequences
        self.return_state = return_state
        self.go_backwards = go_backwards
        self.stateful = stateful
        self.unroll = unroll

    def call(self, x: jax.Array, initial_state: Any = None, mask: Any = None) -> Any:
        check_rank(
            self,
            x,
            3,
            "(batch, time, features)",
            "give the recurrent layer before this one return_sequences=True, so that it returns "
            "all steps; or, for one feature a step, add an axis: x[..., None].",
        )
        x = x.astype(self.compute_dtype)
        weights = self._weights(x.shape[-1])
        first = self._first_state(x, initial_state)
        keep_inputs = self._keep(self.dropout, (x.shape[0], 1, x.shape[2]))
        outputs, last = self.recur(
            x if keep_inputs is None else x * keep_inputs,
            *weights,
            first,
            mask=mask,
            recurrent_dropout=self._keep(self.recurrent_dropout, (x.shape[0], self.units)),
            go_backwards=self.go_backwards,
            unroll=self.unroll,
        )
        if self.stateful:
            for variable, value in zip(self._kept_state(x.shape[0]), last):
                variable.assign(value)
        result = outputs if self.return_sequences else last[0]
        if self.return_sequences and mask is not None:
            annotate(result, mask=mask[:, ::-1] if self.go_backwards else mask)
        return (result, *last) if self.return_state else result

    def recur(self, *args: Any, **settings: Any) -> tuple[jax.Array, State]:
        """Run the kernel over the sequence: all outputs and the last state."""
        raise NotImplementedError

    def bias_shape(self) -> tuple[int, ...]:
        """The shape of b."""
        return (self.gates * self.units,)

    def _weights(self, features: int) -> tuple[jax.Array, jax.Array, jax.Array | None]:
        columns = self.gates * self.units
        kernel = self.weight(
            "kernel",
            (features, columns),
            self.kernel_initializer,
            regularizer=self.kernel_regularizer,
        )
        recurrent_kernel = self.weight(
            "recurrent_kernel",
            (self.units, columns),
            self.recurrent_initializer,
            regularizer=self.recurrent_regularizer,
        )
        if not self.use_bias:
            return kernel, recurrent_kernel, None
        bias = self.weight(
            "bias", self.bias_shape(), self.bias_initializer, regularizer=self.bias_regularizer
        )
        return kernel, recurrent_kernel, bias

    def _keep(self, rate: float, shape: tuple[int, ...]) -> jax.Array | None:
        """A random array of 0 and 1 / (1 - rate), or None where nothing is dropped."""
        if not self.training or rate == 0:
            return None
        keep = jax.random.bernoulli(self.key(), 1 - rate, shape)
        return keep.astype(self.compute_dtype) / (1 - rate)

    # The state

    def _first_state(self, x: jax.Array, initial_state: Any) -> State | None:
        if initial_state is None and not self.stateful:
            return None
        if initial_state is None:
            given: Sequence[Any] = [variable.value for variable in self._kept_state(x.shape[0])]
        else:
            several = isinstance(initial_state, list | tuple)
            given = initial_state if several else [initial_state]
        shape = (x.shape[0], self.units)
        if [np.shape(array) for array in given] != [shape] * len(self.state_names):
            raise ShapeError(
                explain(
                    f"{self._where()} got an initial state that does not fit.",
                    expected=" and ".join(f"{name} {shape}" for name in self.state_names),
                    received=", ".join(str(np.shape(array)) for array in given) or "nothing",
                    fix="pass initial_state=[" + ", ".join(self.state_names) + "].",
                )
            )
        return tuple(jnp.asarray(array).astype(x.dtype) for array in given)

    def _kept_state(self, batch: int) -> list[Any]:
        """The variables that a stateful layer carries its state in."""
        try:
            return [self.state(name, (batch, self.units)) for name in self.state_names]
        except ShapeError:
            raise ShapeError(
                explain(
                    f"{self._where()} is stateful, and its batches must all have the same size.",
                    expected="one batch size, known in advance",
                    received=f"a batch of {batch}, after one of another or unknown size",
                    fix="give the model Input(shape, batch_size=...), and drop a short last batch.",
                )
            ) from None

    def reset_state(self) -> None:
        """Let a stateful layer start from zeros again."""
        for name, variable in self._internals.variables.items():
            if name in self.state_names:
                variable.replace(jnp.zeros(variable.shape, variable.dtype))

    reset_states = reset_state


# The same functions without notes for the loss, which the kernels know.
PLAIN: dict[Any, Callable[[jax.Array], jax.Array]] = {
    activations.tanh: jnp.tanh,
    activations.sigmoid: jax.nn.sigmoid,
    activations.relu: jax.nn.relu,
}


@functools.cache
def _apart(activation: Callable[[jax.Array], jax.Array]) -> Callable[[jax.Array], jax.Array]:
    """The activation, whose notes for the loss stay inside the loop over time."""
    if activation in PLAIN:
        return PLAIN[activation]

    def activate(x: jax.Array) -> jax.Array:
        with Scope():
            return activation(x)

    return activate


@register("layer")
class SimpleRNN(Recurrent):
    """A fully connected recurrence: ``h_t = activation(x_t W + h_(t-1) U + b)``.

    The arguments are those of :class:`Recurrent`. A call takes ``initial_state=h``.

    Shapes:
        ``(batch, time, features)`` to ``(batch, units)``, or to ``(batch, time, units)`` with
        ``return_sequences``; W is ``(features, units)``, U is ``(units, units)``.

    Example:
        >>> import jax, nacre
        >>> nacre.layers.SimpleRNN(4, return_sequences=True)(jax.numpy.ones((2, 5, 3))).shape
        (2, 5, 4)

    Reference: Elman, "Finding structure in time", Cognitive Science 14, 1990.
    """

    gates = 1

    def recur(self, *args: Any, **settings: Any) -> tuple[jax.Array, State]:
        return simple_rnn(*args, activation=_apart(self.activation), **settings)


@register("layer")
class LSTM(Recurrent):
    """Long short-term memory: a state h and a memory c that gates write, keep and read.

    With ``(i, f, g, o) = x_t W + h_(t-1) U + b`` side by side, s the recurrent activation and a
    the activation::

        c_t = s(f) c_(t-1) + s(i) a(g)
        h_t = s(o) a(c_t)

    Args:
        recurrent_activation: s, of the gates.
        unit_forget_bias: start the bias of the forget gate f at 1, so that the memory is kept.

    The other arguments are those of :class:`Recurrent`. A call takes ``initial_state=[h, c]``.

    Shapes:
        ``(batch, time, features)`` to ``(batch, units)``, or to ``(batch, time, units)`` with
        ``return_sequences``; W is ``(features, 4 * units)``, U is ``(units, 4 * units)``.

    Example:
        >>> import jax, nacre
        >>> output, h, c = nacre.layers.LSTM(4, return_state=True)(jax.numpy.ones((2, 5, 3)))
        >>> c.shape
        (2, 4)

    Reference: Hochreiter and Schmidhuber, "Long short-term memory", Neural Computation 9, 1997;
    Gers, Schmidhuber and Cummins, "Learning to forget", Neural Computation 12, 2000.
    """

    gates = 4
    state_names = ("h", "c")

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        unit_forget_bias: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(
            units,
            activation,
            use_bias,
            kernel_initializer,
            recurrent_initializer,
            ForgetBias(bias_initializer) if unit_forget_bias else bias_initializer,
            **options,
        )
        self.recurrent_activation = activations.get(recurrent_activation)
        self.unit_forget_bias = unit_forget_bias

    def recur(self, *args: Any, **settings: Any) -> tuple[jax.Array, State]:
        return lstm(
            *args,
            activation=_apart(self.activation),
            recurrent_activation=_apart(self.recurrent_activation),
            **settings,
        )


class ForgetBias(initializers.Initializer):
    """The LSTM's first bias: that of the forget gate is 1.

    Args:
        others: the initializer of the other gates' biases.
    """

    def __init__(self, others: Any = "zeros") -> None:
        self.others = others

    def draw(self, shape: Sequence[int], dtype: Any, generator: np.random.Generator) -> np.ndarray:
        others, units = initializers.get(self.others), shape[0] // 4

        def drawn(size: int) -> np.ndarray:
            draw = getattr(others, "draw", None)
            values = draw((size,), dtype, generator) if draw else others((size,), dtype=dtype)
            return np.asarray(values, dtype)

        return np.concatenate([drawn(units), np.ones(units, dtype), drawn(2 * units)])


@register("layer")
class GRU(Recurrent):
    """The gated recurrent unit: a state h that one gate resets and another renews.

    With W = (W_z, W_r, W_h), U = (U_z, U_r, U_h) and the biases b (of the inputs) and d (of the
    state) side by side, s the recurrent activation and a the activation::

        z = s(x_t W_z + b_z + h_(t-1) U_z + d_z)
        r = s(x_t W_r + b_r + h_(t-1) U_r + d_r)
        g = a(x_t W_h + b_h + r (h_(t-1) U_h + d_h))
        h_t = z h_(t-1) + (1 - z) g

    Args:
        recurrent_activation: s, of the gates.
        reset_after: whether r multiplies after the product with U_h, as above. Otherwise it
            multiplies h before, as in the first paper, and there is no d.

    The other arguments are those of :class:`Recurrent`. A call takes ``initial_state=h``.

    Shapes:
        ``(batch, time, features)`` to ``(batch, units)``, or to ``(batch, time, units)`` with
        ``return_sequences``; W is ``(features, 3 * units)``, U is ``(units, 3 * units)``, the bias
        is ``(2, 3 * units)``.

    Example:
        >>> import jax, nacre
        >>> nacre.layers.GRU(4)(jax.numpy.ones((2, 5, 3))).shape
        (2, 4)

    Reference: Cho et al., "Learning phrase representations using RNN encoder-decoder for
    statistical machine translation", EMNLP 2014.
    """

    gates = 3

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        reset_after: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(
            units,
            activation,
            use_bias,
            kernel_initializer,
            recurrent_initializer,
            bias_initializer,
            **options,
        )
        self.recurrent_activation = activations.get(recurrent_activation)
        self.reset_after = reset_after

    def bias_shape(self) -> tuple[int, ...]:
        columns = self.gates * self.units
        return (2, columns) if self.reset_after else (columns,)

    def recur(self, *args: Any, **settings: Any) -> tuple[jax.Array, State]:
        return gru(
            *args,
            activation=_apart(self.activation),
            recurrent_activation=_apart(self.recurrent_activation),
            reset_after=self.reset_after,
            **settings,
        )
