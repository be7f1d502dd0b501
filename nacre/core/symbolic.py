"""Symbolic tensors: the functional API's record of what was called on what.

Calling a layer or an operation on a symbolic tensor computes nothing. It notes a node, and finds
the shape of the result by abstract evaluation at two sizes of every unknown dimension: what
differs between the two is unknown in the result.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nacre.core.dtypes import floatx
from nacre.core.errors import ArgumentError, explain
from nacre.core.registry import resolve
from nacre.core.scope import Scope, annotate, mask_of

__all__ = ["Node", "SymbolicTensor", "contains_symbolic", "infer", "record", "record_chain"]

# Two sizes for an unknown batch, and two for any other unknown dimension (large enough, and
# divisible enough, to pass through a stack of poolings).
BATCH_SIZES = (2, 3)
OTHER_SIZES = (192, 256)

# The operations that NumPy calls for ``array * tensor`` and the like, by its name for each.
OF_NUMPY = {
    "add": "add",
    "subtract": "subtract",
    "multiply": "multiply",
    "divide": "divide",
    "power": "power",
    "matmul": "matmul",
    "remainder": "mod",
    "floor_divide": "floor_divide",
    "less": "less",
    "less_equal": "less_equal",
    "greater": "greater",
    "greater_equal": "greater_equal",
}

_node_numbers = itertools.count()


class SymbolicTensor:
    """A stand-in for an array that will come later.

    Attributes:
        shape: its sizes, None where unknown.
        dtype: its data type.
    """

    def __init__(
        self,
        shape: Sequence[int | None],
        dtype: Any,
        *,
        name: str | None = None,
        node: Node | None = None,
        masked: bool = False,
    ) -> None:
        self.shape = tuple(shape)
        self.dtype = jnp.dtype(dtype)
        self.name = name
        self.node = node
        self.masked = masked

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def __getstate__(self) -> dict[str, Any]:
        """What copies and pickles hold: not the call it came from, nor those before it."""
        return {**vars(self), "node": None}

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        """``array * tensor`` is the tensor's own; other functions of NumPy want values."""
        operation = OF_NUMPY.get(ufunc.__name__)
        (into,) = options.pop("out", inputs[:1])  # ``array += tensor`` names the tensor anew
        if method != "__call__" or options or operation is None or into is not inputs[0]:
            return self.__array__()
        return resolve("operation", operation)(*inputs)

    def __array_function__(self, *call: Any) -> Any:
        return self.__array__()

    def __repr__(self) -> str:
        return f"<SymbolicTensor shape={self.shape} dtype={self.dtype.name}>"

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise ArgumentError(
            explain(
                "A symbolic tensor has no values yet, so numpy and jax.numpy cannot work on it.",
                received=repr(self),
                fix="use nacre.ops instead, or put the code in a layer's call().",
            )
        )

    @property
    def __jax_array__(self) -> Any:  # so that looking for it is enough to raise the error
        return self.__array__()

    def __getattr__(self, name: str) -> Any:
        hint = "" if name.startswith("_") else f" Use a function of nacre.ops, such as {name}(x)."
        raise AttributeError(f"A symbolic tensor has no values yet, and no {name!r}.{hint}")

    def __bool__(self) -> bool:
        raise ArgumentError(
            explain(
                "A symbolic tensor has no values yet, so it is neither true nor false.",
                received=repr(self),
                fix="put code that looks at values in a layer's call(), with nacre.ops.where.",
            )
        )

    def __getitem__(self, index: Any) -> Any:
        return resolve("operation", "get_item")(self, index)

    def __iter__(self) -> Any:
        raise ArgumentError("A symbolic tensor cannot be iterated over; use nacre.ops.unstack.")


def _operator(operation: str, *, reflected: bool = False) -> Callable[..., Any]:
    def operate(self: SymbolicTensor, *other: Any) -> Any:
        args = (*other, self) if reflected else (self, *other)
        return resolve("operation", operation)(*args)

    return operate


for _symbol, _operation in {
    "add": "add",
    "sub": "subtract",
    "mul": "multiply",
    "truediv": "divide",
    "pow": "power",
    "matmul": "matmul",
    "mod": "mod",
    "floordiv": "floor_divide",
}.items():
    setattr(SymbolicTensor, f"__{_symbol}__", _operator(_operation))
    setattr(SymbolicTensor, f"__r{_symbol}__", _operator(_operation, reflected=True))
for _symbol, _operation in {
    "lt": "less",
    "le": "less_equal",
    "gt": "greater",
    "ge": "greater_equal",
    "neg": "negative",
    "abs": "absolute",
}.items():
    setattr(SymbolicTensor, f"__{_symbol}__", _operator(_operation))


class Node:
    """One call: what was called, on what, and what came out.

    Attributes:
        operation: the layer or function.
        args, kwargs: its arguments, with symbolic tensors among them.
        outputs: the symbolic tensors it returned, in the structure it returned them in.
        number: grows with every node, so that sorting by it is a topological order.
    """

    def __init__(
        self, operation: Any, args: tuple[Any, ...], kwargs: dict[str, Any], outputs: Any
    ) -> None:
        self.operation = operation
        self.args = args
        self.kwargs = kwargs
        self.outputs = outputs
        self.number = next(_node_numbers)
        for tensor in jax.tree.leaves(outputs):
            tensor.node = self

    def inputs(self) -> list[SymbolicTensor]:
        """The symbolic tensors among the arguments."""
        leaves = jax.tree.leaves((self.args, self.kwargs))
        return [leaf for leaf in leaves if isinstance(leaf, SymbolicTensor)]


def contains_symbolic(tree: Any) -> bool:
    """Whether there is a symbolic tensor among the leaves of ``tree``."""
    return any(isinstance(leaf, SymbolicTensor) for leaf in jax.tree.leaves(tree))


def record(operation: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Node:
    """Note a call on symbolic tensors; its outputs are symbolic tensors of the inferred shapes."""
    function = getattr(operation, "_call_in_current", operation)
    return Node(operation, args, kwargs, infer(function, args, kwargs))


def record_chain(layers: Sequence[Any], start: SymbolicTensor) -> list[Node]:
    """Note the call of each layer on the outputs of the one before.

    Their shapes are found together, which is faster than one after the other.
    """

    def each(x: Any) -> list[Any]:
        outputs = []
        for layer in layers:
            x = layer._call_in_current(x)
            outputs.append(x)
        return outputs

    nodes, tensor = [], start
    for layer, outputs in zip(layers, infer(each, (start,), {})):
        nodes.append(Node(layer, (tensor,), {}, outputs))
        tensor = outputs
    return nodes


def infer(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The shapes and types of ``function(*args, **kwargs)``, as symbolic tensors."""
    leaves, structure = jax.tree.flatten((args, kwargs))
    dynamic = [i for i, leaf in enumerate(leaves) if hasattr(leaf, "shape")]
    masks: list[list[bool]] = []

    def evaluate(*arrays: Any) -> Any:
        filled = list(leaves)
        for position, array in zip(dynamic, arrays):
            filled[position] = array
            if getattr(leaves[position], "masked", False):
                annotate(array, mask=jnp.ones(array.shape[:2], bool))
        positional, named = jax.tree.unflatten(structure, filled)
        outputs = function(*positional, **named)
        masks.append([mask_of(leaf) is not None for leaf in jax.tree.leaves(outputs)])
        return outputs

    def evaluate_at_both(first: list[Any], second: list[Any]) -> Any:
        return evaluate(*first), evaluate(*second)

    tensors = [leaves[i] for i in dynamic]
    first, second = ([_at_size(tensor, which) for tensor in tensors] for which in (0, 1))
    with Scope(building=True):
        if all(a.shape == b.shape for a, b in zip(first, second)):
            a = b = jax.eval_shape(lambda arrays: evaluate(*arrays), first)
        else:
            a, b = jax.eval_shape(evaluate_at_both, first, second)
    masked = iter(masks[0])
    return jax.tree.map(lambda x, y: _merged(x, y, next(masked)), a, b)


def _at_size(tensor: Any, which: int) -> jax.ShapeDtypeStruct:
    shape = tuple(
        size if size is not None else (BATCH_SIZES if axis == 0 else OTHER_SIZES)[which]
        for axis, size in enumerate(tensor.shape)
    )
    return jax.ShapeDtypeStruct(shape, tensor.dtype)


def _merged(a: jax.ShapeDtypeStruct, b: jax.ShapeDtypeStruct, masked: bool) -> SymbolicTensor:
    shape = tuple(m if m == n else None for m, n in zip(a.shape, b.shape))
    return SymbolicTensor(shape, a.dtype, masked=masked)


def input_tensor(
    shape: Sequence[int | None], dtype: Any = None, name: str | None = None
) -> SymbolicTensor:
    """A symbolic tensor of the given whole shape, the batch included; float32 or wider."""
    for size in shape:
        if size is not None and (not isinstance(size, int | np.integer) or size <= 0):
            raise ArgumentError(
                explain(
                    "An input's shape is made of positive whole numbers, and None where unknown.",
                    expected="for example Input(shape=(28, 28, 1))",
                    received=repr(tuple(shape)),
                )
            )
    wide = "float64" if floatx() == "float64" else "float32"
    return SymbolicTensor(shape, dtype or wide, name=name)
