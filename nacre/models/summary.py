"""The summary of a model: a row for each layer, and the totals."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jax

from nacre.core.layer import Layer, frozen_variables, variables_of
from nacre.core.symbolic import SymbolicTensor
from nacre.core.variables import Variable
from nacre.models.calls import ASSUMED_SIZE, Call, ForwardPass, example_of, trace
from nacre.models.cost import Cost
from nacre.models.parts import Part, is_chain, layers_inside, parts_of
from nacre.models.table import Column, Table, bytes_text, count_text, shorten, shorten_label

if TYPE_CHECKING:
    from nacre.models.model import Model

__all__ = ["Row", "Summary", "print_summary", "summarise"]


@dataclass(frozen=True)
class Row:
    """A layer, or a function or input of a functional model.

    Attributes:
        name: its name in the model, without those of the layers around it.
        kind: its class; ``"operation"`` for a function.
        depth: how many layers it is inside of.
        shapes: the shapes of its outputs; of all calls, where those differ.
        parameters: how many values its variables hold, None while it has none yet.
        trainable: ``"yes"``, ``"no"``, ``"partly"``, or ``""`` without weights.
        cost: its operations for one example with those inside it, None where unknown.
        sources: the names of what it is called on, in a functional model.
        is_shared: whether a row above shows the same layer.
    """

    name: str
    kind: str
    depth: int = 0
    shapes: tuple[str, ...] = ()
    parameters: int | None = 0
    trainable: str = ""
    cost: Cost | None = None
    sources: tuple[str, ...] = ()
    is_shared: bool = False


@dataclass(frozen=True)
class Summary:
    """What :func:`summarise` found.

    Attributes:
        title: the model's name and input.
        rows: what it is made of.
        trainable, frozen: the number of values that an optimizer may change, and of the others.
        trainable_bytes, frozen_bytes: the memory they take.
        cost: the operations of a forward pass for one example, None where unknown.
        is_built: whether it has its weights.
        is_chain: whether each row is called on the one above and on nothing else.
        notes: what a reader should know, one line each.
    """

    title: str
    rows: tuple[Row, ...]
    trainable: int
    frozen: int
    trainable_bytes: int
    frozen_bytes: int
    cost: Cost | None
    is_built: bool
    is_chain: bool
    notes: tuple[str, ...]

    @property
    def parameters(self) -> int:
        """The number of values in all variables."""
        return self.trainable + self.frozen

    def totals(self) -> list[str]:
        """The lines under the table."""
        if not self.is_built:
            return []
        amounts = {
            "Parameters": (self.parameters, self.trainable_bytes + self.frozen_bytes),
            "  trainable": (self.trainable, self.trainable_bytes),
            "  non-trainable": (self.frozen, self.frozen_bytes),
        }
        lines = [f"{name}: {n:,} ({bytes_text(size)})" for name, (n, size) in amounts.items()]
        if self.cost is not None:
            bound = ">= " if self.cost.uncounted else ""
            operations = self.cost.operations
            shown = f"{operations:,}"
            short = count_text(operations)
            lines.append(f"FLOPs per example: {bound}{shown}" + f" ({short})" * (short != shown))
        return lines

    def table(self, show_trainable: bool = True) -> Table:
        """The rows as a table that can be drawn."""
        rows = self.rows
        columns = [
            Column("Layer", [[_label(r)] for r in rows], shorten=shorten_label),
            Column("Output shape", [list(r.shapes or ("-",)) for r in rows]),
            Column("Params", [[_parameters_text(r)] for r in rows], right=True),
            Column("Trainable", [[r.trainable] for r in rows]),
            Column("FLOPs", [[_cost_text(r.cost)] for r in rows], right=True),
            Column("Connected to", [list(r.sources) for r in rows], shorten=shorten),
        ]
        left_out = {"Trainable"} if not show_trainable else set()
        left_out |= {"Connected to"} if self.is_chain else set()
        shown = [column for column in columns if column.title not in left_out]
        return Table(self.title, shown, self.totals(), list(self.notes))


def print_summary(
    model: Model,
    line_length: int | None = None,
    expand_nested: bool = False,
    show_trainable: bool = True,
    print_fn: Callable[[str], Any] | None = None,
) -> None:
    """Print the summary of ``model``; see :meth:`Model.summary`."""
    table = summarise(model, expand_nested).table(show_trainable)
    table.show(line_length, print_fn)


def summarise(model: Model, expand_nested: bool = False) -> Summary:
    """What a model is made of, what it weighs and what it takes.

    Args:
        model: any model; one without weights yet gets rows without figures, and a note.
        expand_nested: whether to list the layers inside of layers.
    """
    forward, notes = _forward_pass(model)
    frozen = frozen_variables(model)
    variables = list(variables_of(model).values())
    listing = Listing(forward, frozen, expand_nested, set())
    calls = forward.calls if forward else []
    return Summary(
        title=_title(model),
        rows=tuple(listing.rows(parts_of(model), calls, 0)),
        trainable=sum(v.size for v in variables if id(v) not in frozen),
        frozen=sum(v.size for v in variables if id(v) in frozen),
        trainable_bytes=sum(_bytes(v) for v in variables if id(v) not in frozen),
        frozen_bytes=sum(_bytes(v) for v in variables if id(v) in frozen),
        cost=forward.cost() if forward else None,
        is_built=_is_built(model),
        is_chain=model._graph is None or is_chain(model._graph),
        notes=tuple(notes),
    )


def _is_built(model: Model) -> bool:
    return model._internals.complete or model.built or bool(variables_of(model))


def _forward_pass(model: Model) -> tuple[ForwardPass | None, list[str]]:
    example = example_of(model)
    if example is None:
        if _is_built(model):
            return None, ["Output shapes and FLOPs are unknown: the model has not been called."]
        return None, [
            "This model is unbuilt: start it with nacre.Input(shape=...) or call it on data."
        ]
    try:
        forward = trace(model, *example)
    except Exception as error:
        # What is known is worth showing even where one layer cannot be traced on its own terms.
        reason = str(error).partition("\n")[0]
        return None, [f"Output shapes and FLOPs are unknown: {reason}"]
    notes = []
    if forward.has_assumed_size:
        notes.append(f"FLOPs are counted with {ASSUMED_SIZE} for every unknown size but the batch.")
    if forward.cost().uncounted:
        names = ", ".join(sorted(forward.cost().uncounted))
        notes.append(f">=: at least, because these cannot be counted: {names}.")
    return forward, notes


@dataclass
class Listing:
    """Makes the rows.

    Attributes:
        forward: the forward pass, None where the input is unknown.
        frozen: identities of the variables that an optimizer leaves alone.
        expand: whether to go into layers.
        seen: identities of the layers that have a row.
    """

    forward: ForwardPass | None
    frozen: set[int]
    expand: bool
    seen: set[int]

    def rows(self, parts: list[Part], calls: list[Call], depth: int) -> Iterator[Row]:
        """The rows of ``parts``, to which ``calls`` are assigned by what they were made in."""
        for part, own in zip(parts, _distributed(parts, calls)):
            if isinstance(part.what, SymbolicTensor):
                shape = _shape_text(part.what.shape)
                yield Row(part.name, "Input", depth, (shape,), cost=Cost())
                continue
            is_shared = id(part.what) in self.seen
            self.seen.add(id(part.what))
            yield self._row(part, own, depth, is_shared)
            if self.expand and isinstance(part.what, Layer) and not is_shared:
                yield from self.rows(layers_inside(part.what), own, depth + 1)

    def _row(self, part: Part, calls: list[Call], depth: int, is_shared: bool) -> Row:
        own = [call for call in calls if call.callee is part.what]
        by_call = dict.fromkeys(tuple(map(_shape_text, call.shapes)) for call in own)
        shapes = tuple(itertools.chain(*by_call))
        cost = self.forward.cost(calls) if self.forward and calls else None
        if not isinstance(part.what, Layer):
            return Row(part.name, "operation", depth, shapes, 0, "", cost, part.sources)
        layer = part.what
        parameters = layer.count_params()
        return Row(
            part.name,
            type(layer).__name__,
            depth,
            shapes,
            parameters if parameters or layer.built else None,
            self._trainable(layer),
            cost,
            part.sources,
            is_shared,
        )

    def _trainable(self, layer: Layer) -> str:
        changeable = [id(v) not in self.frozen for v in layer.weights if not v.is_state]
        if not changeable:
            return ""
        return "yes" if all(changeable) else "partly" if any(changeable) else "no"


def _distributed(parts: list[Part], calls: list[Call]) -> list[list[Call]]:
    """The calls that belong to each part: those of it, and those made inside them."""
    covered = [part.covers() for part in parts]
    assigned: list[list[Call]] = [[] for _ in parts]
    for call in calls:
        owners = (
            number
            for around in call.chain()
            for number, identities in enumerate(covered)
            if id(around.callee) in identities
        )
        number = next(owners, None)
        if number is not None:
            assigned[number].append(call)
    return assigned


# Texts


def _title(model: Model) -> str:
    title = f'Model: "{model.name}"'
    example = example_of(model)
    if example is None or model._graph is not None:  # a functional model's inputs have rows
        return title
    tensors = [t for t in jax.tree.leaves(example) if isinstance(t, SymbolicTensor)]
    return f"{title}  input " + ", ".join(_shape_text(tensor.shape) for tensor in tensors)


def _shape_text(shape: Sequence[int | None]) -> str:
    return str(tuple(shape))


def _label(row: Row) -> str:
    return f"{'  ' * row.depth}{row.name} ({row.kind})"


def _parameters_text(row: Row) -> str:
    if row.is_shared:
        return "shared"
    return "-" if row.parameters is None else f"{row.parameters:,}"


def _cost_text(cost: Cost | None) -> str:
    if cost is None:
        return "-"
    return f"{'>= ' if cost.uncounted else ''}{count_text(cost.operations)}"


def _bytes(variable: Variable) -> int:
    return variable.size * variable.dtype.itemsize
