"""The scope of one call: what layers may ask for while a model runs, and where it is kept.

A scope lives for one call of a model. It holds the values bound to variables, the updates to
state, the random key, and one side table of what is known about an array beyond its value: its
mask, the logits behind a softmax or sigmoid, and how a layer that reads it alone may be computed
together with what made it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

import jax
import numpy as np
from jax import lax
from jax.core import Tracer
from jax.extend.core import get_opaque_trace_state

from nacre.core.errors import PurityError, explain
from nacre.core.random import path_number

if TYPE_CHECKING:
    from nacre.core.variables import Variable

__all__ = [
    "Note",
    "Probe",
    "Scope",
    "annotate",
    "current_scope",
    "logits_of",
    "mask_of",
    "note_reader",
    "offer_max_pool",
    "offered_max_pool",
]

_active = threading.local()


@dataclass
class Note:
    """What is known about ``array`` beyond its value."""

    array: Any
    mask: Any = None
    logits: Any = None
    activation: str | None = None
    maker: Any = None  # the layer that offers to compute a pool of it at once
    max_pool: Callable[..., Any] | None = None
    reader: Any = None  # the layer that takes it from there, if no other does


class Probe(Protocol):
    """What looks into a call: it sees, and may replace, what goes into layers and what comes out.

    It is told of layers, and of nodes that call the functions of a functional model. It keeps what
    is known about an array that it replaces with :meth:`Scope.know_as`.
    """

    def enter(self, callee: Any, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """The arguments to call ``callee`` with."""
        ...

    def leave(self, callee: Any, outputs: Any) -> Any:
        """The outputs in place of those of ``callee``."""
        ...


class Scope:
    """The context of one call.

    Args:
        bindings: values that stand for variables during the call, by the variable's identity.
        training: whether layers should behave as in training.
        key: the random key of the call, or None if randomness is not expected.
        paths: the path of each layer of the root, by the layer's identity.
        building: the call is abstract and only finds shapes; weights are made when asked for.
        make_key: where to get a key when one is asked for and ``key`` is None.
    """

    def __init__(
        self,
        *,
        bindings: dict[int, Any] | None = None,
        training: bool = False,
        key: jax.Array | None = None,
        paths: dict[int, str] | None = None,
        building: bool = False,
        make_key: Callable[[], jax.Array] | None = None,
    ) -> None:
        self.bindings = bindings
        self.training = training
        self.key = key
        self.paths = paths or {}
        self.building = building
        self.make_key = make_key
        self.updates: dict[int, Any] = {}
        self.updated: dict[int, Variable] = {}
        self.losses: list[Any] = []
        self.stack: list[Any] = []
        self.records: list[tuple[Any, Any, Any]] = []
        self.probe: Probe | None = None
        self._notes: dict[int, Note] = {}
        self._key_counts: dict[str, int] = {}
        self._trace: Any = None
        self._outer: Scope | None = None

    def __enter__(self) -> Scope:
        self._outer = current_scope()
        self._trace = get_opaque_trace_state()
        _active.scope = self
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        _active.scope = self._outer

    # Variables

    def read(self, variable: Variable) -> Any:
        """The value that stands for ``variable`` during this call."""
        identity = id(variable)
        if identity in self.updates:
            return self.updates[identity]
        if self.bindings is not None and identity in self.bindings:
            return self.bindings[identity]
        if self.building:
            return lax.broadcast(np.zeros((), variable.dtype), variable.shape)
        return variable.concrete()

    def write(self, variable: Variable, value: Any) -> None:
        """Let ``value`` stand for ``variable`` from here on; kept when the call ends."""
        self.require_own_trace(f"the state {variable.name!r}")
        known = self.bindings is None or id(variable) in self.bindings
        if not known and not self.building:
            raise PurityError(
                explain(
                    f"The state {variable.name!r} was assigned to, but it does not belong to the "
                    "model that is running.",
                    fix="make the layer that owns it an attribute of the model.",
                )
            )
        self.updates[id(variable)] = value
        self.updated[id(variable)] = variable

    # Randomness

    def next_key(self, layer: Any) -> jax.Array:
        """A random key for ``layer``: it depends on the call's key, the path and the count."""
        self.require_own_trace("a random key")
        if self.key is None and self.make_key is not None:
            self.key = self.make_key()
        if self.key is None:
            if self.building:
                return jax.random.key(0)
            raise PurityError(
                explain(
                    f"{self.where(layer)} asked for a random key, but the call has none.",
                    fix="pass key=jax.random.key(0) to the lifted function, or call the layer with "
                    "training=False.",
                )
            )
        path: str = self.paths.get(id(layer)) or layer.name
        count = self._key_counts.get(path, 0)
        self._key_counts[path] = count + 1
        return jax.random.fold_in(jax.random.fold_in(self.key, path_number(path)), count)

    def require_own_trace(self, what: str) -> None:
        """Raise if the caller is inside a transformation that began inside the call."""
        if self.building or get_opaque_trace_state() == self._trace:
            return
        layer = self.stack[-1] if self.stack else None
        raise PurityError(
            explain(
                f"{self.where(layer)} asked for {what} inside a JAX transformation of its own "
                "(lax.scan, lax.cond, jax.vmap, jax.checkpoint, ...). Values made inside one "
                "cannot leave it by the back door.",
                expected="state() and key() are used directly in call()",
                fix="read them before the transformation and pass them in; return the new state "
                "from it and assign it afterwards. For a scan: "
                "keys = jax.random.split(self.key(), n).",
            )
        )

    def where(self, layer: Any) -> str:
        """How messages name a layer: its class and its path."""
        if layer is None:
            return "The model"
        path = self.paths.get(id(layer)) or self._path_on_stack(layer)
        return f"{type(layer).__name__} {path!r}"

    def _path_on_stack(self, layer: Any) -> str:
        """The path of the layer that is running, from those that called it."""
        if not self.stack or self.stack[-1] is not layer:
            return layer.name
        names = [
            next((name for name, child in outer.children() if child is inner), inner.name)
            for outer, inner in zip(self.stack, self.stack[1:])
        ]
        return "/".join(names) or layer.name

    # The side table

    def note(self, array: Any) -> Note:
        """The side table's entry for ``array``, made if there is none."""
        found = self._notes.get(id(array))
        if found is None:
            found = self._notes[id(array)] = Note(array)  # holds the array, so its id stays its own
        return found

    def lookup(self, array: Any) -> Note | None:
        """The side table's entry for ``array``, or None."""
        return self._notes.get(id(array))

    def know_as(self, old: Any, new: Any) -> Any:
        """Let what is known about ``old`` hold for ``new``; returns ``new``."""
        known = self.lookup(old)
        if known is not None:
            self._notes[id(new)] = replace(known, array=new)
        return new


def current_scope() -> Scope | None:
    """The scope of the call that is running in this thread, or None."""
    return getattr(_active, "scope", None)


def annotate(
    array: Any, *, mask: Any = None, logits: Any = None, activation: str | None = None
) -> Any:
    """Note an array's mask or the logits behind it for the rest of the call; returns ``array``."""
    scope = current_scope()
    if scope is not None:
        note = scope.note(array)
        if mask is not None:
            note.mask = mask
        if logits is not None:
            note.logits, note.activation = logits, activation
    return array


def mask_of(array: Any) -> Any:
    """The mask noted for ``array`` (True where a step counts), or None."""
    scope = current_scope()
    note = scope.lookup(array) if scope is not None else None
    return note.mask if note is not None else None


def logits_of(array: Any, activation: str) -> Any:
    """The logits that ``activation`` turned into ``array``, or None if they are not known."""
    scope = current_scope()
    note = scope.lookup(array) if scope is not None else None
    return note.logits if note is not None and note.activation == activation else None


# Two layers computed at once


def offer_max_pool(maker: Any, array: Any, max_pool: Callable[..., Any]) -> None:
    """Note that the maxima over windows of ``array`` can be computed together with it.

    Then ``array`` itself is left over, and a compiled program drops it if nothing else reads it.
    So the offer is for compiled programs, and for the layer that a container names as the only
    reader; see :func:`note_reader`.

    Args:
        maker: the layer that made ``array`` and returns it.
        max_pool: ``(pool_size=, pool_strides=, pool_padding=)`` to the maxima, or to None.
    """
    scope = current_scope()
    if scope is not None and not scope.building and _is_compiled(array):
        note = scope.note(array)
        note.maker, note.max_pool = maker, max_pool


def note_reader(layer: Any, outputs: Any, reader: Any) -> None:
    """Note the one layer that reads what ``layer`` has returned, or None if there are others.

    Containers call it: they know.
    """
    scope = current_scope()
    note = scope.lookup(outputs) if scope is not None else None
    if note is not None:
        note.reader = reader if note.maker is layer else None


def offered_max_pool(reader: Any, array: Any) -> Callable[..., Any] | None:
    """What :func:`offer_max_pool` has noted, if ``reader`` alone reads it and no probe looks."""
    scope = current_scope()
    note = scope.lookup(array) if scope is not None and scope.probe is None else None
    return note.max_pool if note is not None and note.reader is reader else None


def _is_compiled(array: Any) -> bool:
    """Whether ``array`` stands for a value of a program that is being made, under derivatives."""
    while isinstance(array, Tracer):
        inside = getattr(array, "primal", getattr(array, "val", None))
        if not isinstance(inside, jax.Array):
            return True
        array = inside
    return False
