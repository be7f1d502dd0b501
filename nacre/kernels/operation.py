"""A native kernel with its first gradient, made differentiable to any order.

An operation has a *meaning*, a function in the operations of JAX, and is computed natively on a
CPU. Three primitives come from it::

    value       operands                                  -> results, saved
    tangent     operands, saved, changes of operands      -> changes of results
    gradient    operands, saved, gradients of results     -> gradients of operands

What the value has *saved* makes the way back cheaper, and stands for nothing by itself: the meaning
of the other two leaves it out. So the derivative of a gradient is that of its meaning, and only the
value and the first gradient, which training needs, have to be written natively.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from nacre.kernels.meanings import MEANINGS
from nacre.kernels.widening import widened

__all__ = ["Operation"]

Arrays = Sequence[jax.Array]
Changes = Sequence[jax.Array | None]
Which = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Operation:
    """A function of ``operands``, a fixed number of arrays, and of static settings ``at``.

    An array without elements may stand for an operand, or for something saved, that is missing.
    Where the first operand is of a 16-bit type, so are the results; natively all is computed and
    saved in float32, and results and gradients are rounded at the end, unless it does not widen.

    Attributes:
        name: of the primitives.
        operands, results, saved: how many there are.
        meaning: ``(at, *operands)`` to a list of the results.
        forward: ``(at, saving, *operands)`` to a list of the results and, if ``saving``, of what is
            saved for the way back; native.
        shapes_saved: ``(at, *operands)`` to the shapes and types of what is saved.
        backward: ``(at, examples, operands, saved, changes)`` to a list of functions without
            arguments, that give the gradient of each operand; native. A change is None where it is
            zero. The batch holds ``examples`` independent ones one after the other, each of the
            same size; the gradient of an operand without a batch is one for each of them, stacked.
        with_batch: for each operand, whether its first axis is the batch, along which nothing is
            mixed. All results, and what is saved, have it then. None: the operation mixes it.
        widens: whether ``forward`` and ``backward`` are given 16-bit arrays in float32, or as they
            are.
    """

    name: str
    operands: int
    results: int
    saved: int
    meaning: Callable[..., list[jax.Array]]
    forward: Callable[..., list[jax.Array]]
    shapes_saved: Callable[..., Sequence[jax.ShapeDtypeStruct]]
    backward: Callable[..., list[Callable[[], jax.Array]]]
    with_batch: tuple[bool, ...] | None
    widens: bool = True

    def __call__(self, at: Hashable, *operands: jax.Array) -> list[jax.Array]:
        """The results."""
        return self._value.bind(*vary_alike(operands), at=at, saving=False)

    # What the primitives mean

    def _split(self, arrays: Arrays) -> tuple[Arrays, Arrays, Arrays]:
        """Operands, what is saved, and changes."""
        saved = self.operands + self.saved
        return arrays[: self.operands], arrays[self.operands : saved], arrays[saved:]

    def _value_meaning(self, *operands: jax.Array, at: Hashable, saving: bool) -> list[jax.Array]:
        results = self.meaning(at, *operands)
        if saving:
            results = [*results, *self._nothing_saved(at, operands)]
        return results

    def _nothing_saved(self, at: Hashable, operands: Sequence[Any]) -> list[jax.Array]:
        return [jnp.zeros(a.shape, a.dtype) for a in self.shapes_saved(at, *operands)]

    def _of_some(self, at: Hashable, operands: Arrays, which: Which) -> Callable[..., Any]:
        """The meaning as a function of some operands."""

        def function(*chosen: jax.Array) -> list[jax.Array]:
            everything = list(operands)
            for index, operand in zip(which, chosen):
                everything[index] = operand
            return self.meaning(at, *everything)

        return function

    def _tangent_meaning(self, *arrays: jax.Array, at: Hashable, which: Which) -> list[jax.Array]:
        operands, _, changes = self._split(arrays)
        chosen = [operands[index] for index in which]
        return jax.jvp(self._of_some(at, operands, which), tuple(chosen), tuple(changes))[1]

    def _gradient_meaning(
        self, *arrays: jax.Array, at: Hashable, which: Which, given: Which, examples: int
    ) -> list[jax.Array]:
        operands, _, changes = self._split(arrays)
        if examples > 1:
            return self._gradient_of_examples(operands, changes, at, which, given, examples)
        function = self._of_some(at, operands, which)
        results, transpose = jax.vjp(function, *(operands[index] for index in which))
        everything = [jnp.zeros_like(result) for result in results]
        for index, change in zip(given, changes):
            everything[index] = change
        return list(transpose(everything))

    def _gradient_of_examples(
        self,
        operands: Arrays,
        changes: Arrays,
        at: Hashable,
        which: Which,
        given: Which,
        examples: int,
    ) -> list[jax.Array]:
        assert self.with_batch is not None
        nothing = self._nothing_saved(at, operands)

        def gradient(*arrays: jax.Array) -> list[jax.Array]:
            operands, changes = arrays[: self.operands], arrays[self.operands :]
            return self._gradient_meaning(
                *operands, *nothing, *changes, at=at, which=which, given=given, examples=1
            )

        fold = [batch and a.size > 0 for a, batch in zip(operands, self.with_batch)]
        fold += [True] * len(changes)
        split = [
            a.reshape(examples, -1, *a.shape[1:]) if folded else a
            for a, folded in zip([*operands, *changes], fold)
        ]
        mapped = jax.vmap(gradient, [0 if folded else None for folded in fold])(*split)
        return [
            a.reshape(-1, *a.shape[2:]) if self.with_batch[index] else a
            for index, a in zip(which, mapped)
        ]

    # What runs natively

    def _as_computed(self, a: jax.Array) -> jax.Array:
        return widened(a) if self.widens else a

    def _native_value(self, *operands: jax.Array, at: Hashable, saving: bool) -> list[jax.Array]:
        found = self.forward(at, saving, *map(self._as_computed, operands))
        results, saved = found[: self.results], found[self.results :]
        return [*(a.astype(operands[0].dtype) for a in results), *saved]

    def _native_gradient(
        self, *arrays: jax.Array, at: Hashable, which: Which, given: Which, examples: int
    ) -> list[jax.Array]:
        operands, saved, changes = self._split(arrays)
        everything: list[jax.Array | None] = [None] * self.results
        for index, change in zip(given, changes):
            everything[index] = self._as_computed(change)
        computed = [self._as_computed(a) for a in operands]
        gradients = self.backward(at, examples, computed, saved, everything)
        return [gradients[index]().astype(operands[index].dtype) for index in which]

    # The primitives

    @functools.cached_property
    def _value(self) -> Primitive:
        def shapes(*operands: Any, at: Hashable, saving: bool) -> list[Any]:
            return jax.eval_shape(
                functools.partial(self._value_meaning, at=at, saving=saving), *operands
            )

        primitive = _primitive(self.name, shapes, self._value_meaning, self._native_value)
        ad.primitive_jvps[primitive] = self._value_jvp
        batching.primitive_batchers[primitive] = self._map_value
        return primitive

    @functools.cached_property
    def _tangent(self) -> Primitive:
        def shapes(*arrays: Any, at: Hashable, which: Which) -> list[Any]:
            return jax.eval_shape(functools.partial(self.meaning, at), *self._split(arrays)[0])

        meaning = self._tangent_meaning
        primitive = _primitive(f"{self.name}_tangent", shapes, meaning, meaning)
        ad.primitive_jvps[primitive] = functools.partial(_jvp_by_meaning, self, primitive, meaning)
        ad.primitive_transposes[primitive] = self._transpose_tangent
        batching.primitive_batchers[primitive] = functools.partial(_map_meaning, self, meaning)
        return primitive

    @functools.cached_property
    def _gradient(self) -> Primitive:
        def shapes(
            *arrays: Any, at: Hashable, which: Which, given: Which, examples: int
        ) -> list[Any]:
            operands = self._split(arrays)[0]
            alone = [self._is_folded(index, operands) or examples == 1 for index in which]
            return [
                jax.ShapeDtypeStruct(
                    operands[i].shape if a else (examples, *operands[i].shape), operands[i].dtype
                )
                for i, a in zip(which, alone)
            ]

        meaning = self._gradient_meaning
        primitive = _primitive(f"{self.name}_gradient", shapes, meaning, self._native_gradient)
        ad.primitive_jvps[primitive] = functools.partial(_jvp_by_meaning, self, primitive, meaning)
        batching.primitive_batchers[primitive] = self._map_gradient
        return primitive

    # Their derivatives

    def _value_jvp(
        self, operands: Arrays, changes: Sequence[Any], *, at: Hashable, saving: bool
    ) -> tuple[list[jax.Array], list[Any]]:
        everything = self._value.bind(*operands, at=at, saving=True)
        results, saved = everything[: self.results], everything[self.results :]
        which = tuple(i for i, c in enumerate(changes) if type(c) is not ad.Zero)
        which = tuple(i for i in which if jnp.issubdtype(operands[i].dtype, jnp.floating))
        tangents = self._tangent.bind(
            *operands, *saved, *(changes[i] for i in which), at=at, which=which
        )
        if not saving:
            return results, tangents
        return everything, [*tangents, *(ad.Zero(jax.typeof(a).to_tangent_aval()) for a in saved)]

    def _transpose_tangent(
        self, changes: Sequence[Any], *arrays: Any, at: Hashable, which: Which
    ) -> list[Any]:
        operands, saved, unknown = self._split(arrays)
        given = tuple(i for i, c in enumerate(changes) if type(c) is not ad.Zero)
        asked = [i for i, a in enumerate(unknown) if ad.is_undefined_primal(a)]
        gradients = self._gradient.bind(
            *operands,
            *saved,
            *(changes[i] for i in given),
            at=at,
            which=tuple(which[i] for i in asked),
            given=given,
            examples=1,
        )
        found = dict(zip(asked, gradients))
        before: list[Any] = [None] * (self.operands + self.saved)
        return before + [found.get(i) for i in range(len(unknown))]

    # Mapping over a new axis

    def _is_folded(self, index: int, operands: Sequence[Any]) -> bool:
        batch = self.with_batch is not None and self.with_batch[index]
        return batch and operands[index].size > 0

    def _can_fold(self, operands: Arrays, axes: Sequence[Any]) -> bool:
        """Whether only what has a batch is mapped: then the mapped axis becomes part of it."""
        return self.with_batch is not None and all(
            axis is None or self._is_folded(index, operands) for index, axis in enumerate(axes)
        )

    def _map_value(
        self, operands: Arrays, axes: Sequence[Any], *, at: Hashable, saving: bool
    ) -> tuple[list[jax.Array], list[Any]]:
        size = _size(operands, axes)
        if self._can_fold(operands, axes):
            folded = [
                _fold(a, axis, size) if self._is_folded(i, operands) else a
                for i, (a, axis) in enumerate(zip(operands, axes))
            ]
            return _unfold(self._value.bind(*folded, at=at, saving=saving), size)
        results = jax.vmap(functools.partial(self.meaning, at), tuple(axes))(*operands)
        places: list[Any] = [0] * len(results)
        if saving:
            single = [_without(a, axis) for a, axis in zip(operands, axes)]
            nothing = self._nothing_saved(at, single)
            results, places = [*results, *nothing], places + [None] * len(nothing)
        return results, places

    def _map_gradient(
        self,
        arrays: Arrays,
        axes: Sequence[Any],
        *,
        at: Hashable,
        which: Which,
        given: Which,
        examples: int,
    ) -> tuple[list[jax.Array], list[Any]]:
        operands, _, _ = self._split(arrays)
        if not self._can_fold(operands, axes[: self.operands]):
            meaning = functools.partial(
                self._gradient_meaning, at=at, which=which, given=given, examples=examples
            )
            return _map_meaning(self, meaning, arrays, axes)
        size = _size(arrays, axes)
        is_folded = [self._is_folded(index, operands) for index in range(self.operands)]
        is_folded += [a.size > 0 for a in arrays[self.operands :]]
        folded = [
            _fold(a, axis, size) if yes else a for a, axis, yes in zip(arrays, axes, is_folded)
        ]
        gradients = self._gradient.bind(
            *folded, at=at, which=which, given=given, examples=examples * size
        )
        split = [
            _apart(a, size)
            if is_folded[index] or examples > 1
            else a.reshape(size, *operands[index].shape)
            for index, a in zip(which, gradients)
        ]
        return split, [0] * len(split)


def _primitive(
    name: str,
    shapes: Callable[..., list[Any]],
    meaning: Callable[..., list[jax.Array]],
    on_cpu: Callable[..., list[jax.Array]],
) -> Primitive:
    primitive = Primitive(name)
    primitive.multiple_results = True
    MEANINGS[name] = meaning

    def abstract(*operands: Any, **settings: Any) -> list[Any]:
        plain = [jax.ShapeDtypeStruct(a.shape, a.dtype) for a in operands]
        like = operands[0]
        return [
            like.update(shape=a.shape, dtype=a.dtype, weak_type=False)
            for a in shapes(*plain, **settings)
        ]

    primitive.def_abstract_eval(abstract)

    @functools.partial(jax.jit, static_argnums=0)
    def compiled(settings: tuple[tuple[str, Any], ...], *operands: jax.Array) -> list[jax.Array]:
        return primitive.bind(*operands, **dict(settings))

    def run(*operands: jax.Array, **settings: Any) -> list[jax.Array]:
        return compiled(tuple(settings.items()), *operands)

    primitive.def_impl(run)
    mlir.register_lowering(primitive, mlir.lower_fun(meaning, multiple_results=True))
    mlir.register_lowering(primitive, mlir.lower_fun(on_cpu, multiple_results=True), platform="cpu")
    return primitive


def _jvp_by_meaning(
    operation: Operation,
    primitive: Primitive,
    meaning: Callable[..., list[jax.Array]],
    arrays: Arrays,
    changes: Sequence[Any],
    **settings: Any,
) -> tuple[list[jax.Array], list[jax.Array]]:
    """What is saved does not change: all that it depends on is among the operands."""
    saved = range(operation.operands, operation.operands + operation.saved)
    which = [
        i
        for i, change in enumerate(changes)
        if type(change) is not ad.Zero
        and i not in saved
        and jnp.issubdtype(arrays[i].dtype, jnp.floating)
    ]

    def function(*chosen: jax.Array) -> list[jax.Array]:
        everything = list(arrays)
        for index, array in zip(which, chosen):
            everything[index] = array
        return meaning(*everything, **settings)

    primals, tangents = tuple(arrays[i] for i in which), tuple(changes[i] for i in which)
    change = jax.jvp(function, primals, tangents)[1]
    return primitive.bind(*arrays, **settings), change


def _map_meaning(
    operation: Operation,
    meaning: Callable[..., list[jax.Array]],
    arrays: Arrays,
    axes: Sequence[Any],
    **settings: Any,
) -> tuple[list[jax.Array], list[int]]:
    results = jax.vmap(functools.partial(meaning, **settings), tuple(axes))(*arrays)
    return results, [0] * len(results)


def _size(arrays: Arrays, axes: Sequence[Any]) -> int:
    return next(a.shape[axis] for a, axis in zip(arrays, axes) if axis is not None)


def _without(a: jax.Array, axis: Any) -> jax.ShapeDtypeStruct:
    shape = list(a.shape)
    if axis is not None:
        del shape[axis]
    return jax.ShapeDtypeStruct(tuple(shape), a.dtype)


def _fold(a: jax.Array, axis: Any, size: int) -> jax.Array:
    """The mapped axis and the batch as one."""
    if axis is None:
        front = jnp.broadcast_to(a[None], (size, *a.shape))
    else:
        front = jnp.moveaxis(a, axis, 0)
    return front.reshape(size * front.shape[1], *front.shape[2:])


def _apart(a: jax.Array, size: int) -> jax.Array:
    return a.reshape(size, a.shape[0] // size, *a.shape[1:])


def _unfold(results: Arrays, size: int) -> tuple[list[jax.Array], list[Any]]:
    split, places = [], []
    for a in results:
        missing = a.size == 0
        split.append(a if missing else _apart(a, size))
        places.append(None if missing else 0)
    return split, places


def vary_alike(arrays: Arrays) -> list[jax.Array]:
    """Inside shard_map, mark all as different on each device where one is.

    Without the mark, the gradient of a kernel that all devices share would not be summed.
    """
    over = [_varying_over(a) for a in arrays]
    everywhere = frozenset().union(*over)
    return [
        lax.pcast(a, tuple(everywhere - axes), to="varying") if everywhere - axes else a
        for a, axes in zip(arrays, over)
    ]


def _varying_over(x: jax.Array) -> frozenset[str]:
    """The mesh axes along which ``x`` may differ, under either name JAX has had for them."""
    kind = jax.typeof(x)
    marks = getattr(kind, "manual_axis_type", None)
    return getattr(kind, "vma", frozenset()) if marks is None else marks.varying
