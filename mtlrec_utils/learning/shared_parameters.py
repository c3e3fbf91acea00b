"""What tasks share in a model: found from its graph, never from names.

A layer is *shared* if the losses of two tasks or more depend on it; every
other layer is one task's own. The graph is cut behind the shared layers.
Each tensor that crosses the cut is a *fork*: together, the forks are the
shared representation. Every task reads copies of its own of the forks, so
that one pass backward through the tasks' own layers gives each task's
gradient at the cut; from there, its gradient of the shared weights is a
pass through the shared layers alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import keras
import tensorflow as tf


@dataclass
class Cut:
    """The tensors at the cut in one forward pass.

    Attributes:
        forks: K tensors that leave the shared layers.
        copies: task -> its copy of each fork; None where it reads none.
    """

    forks: list[Any] = field(default_factory=list)
    copies: dict[str, list[Any]] = field(default_factory=dict)


class SharedParameters:
    """The cut of a graph between what tasks share and what is their own.

    Behind the cut lie the layers of one task alone. Before it lie all uses
    of shared layers (one that is used twice, by a task each, is shared
    too) and all that leads to them. No gradient that comes back from the
    cut meets it again.

    Args:
        graph: functional; its output is a dictionary of task -> what the
            task's loss reads: a tensor, or a structure of tensors.

    Attributes:
        tasks: the T tasks.
        layers: the shared layers with trainable weights, in the order of
            the graph.
        last_layers: those of them that no other one follows.
        variables: the trainable variables that tasks share, in the order
            of the layers.
        own: task -> trainable variables of its own.
        last_kernels: of each of the last layers its last weight of the
            highest rank.
        fork_names: name of the layer that each fork comes from.
    """

    def __init__(self, graph: Any) -> None:
        self._graph = keras.Model(
            {x.name: x for x in graph.inputs}, graph.output
        )
        self._ends = dict(graph.output)
        self.tasks = tuple(self._ends)
        self._nodes = [
            node
            for depth in sorted(graph._nodes_by_depth, reverse=True)
            for node in graph._nodes_by_depth[depth]
            if node.operation and not node.is_input
        ]
        reach = self._reach()
        self._sort_variables(reach)
        self._owner = self._behind_the_cut(reach)
        self._forks = self._crossing()
        self.fork_names = tuple(
            x._keras_history.operation.name for x in self._forks
        )

    def forward(self, read: Callable[[Any], Any]) -> tuple[Any, Cut]:
        """Run the graph once, under the caller's gradient tape.

        Args:
            read: is given the graph, a Keras model, and calls it once.

        Returns:
            What ``read`` returned, and the tensors at the cut.
        """
        cut = Cut()

        def run(inputs: Any, operation_fn: Any) -> Any:
            return self._run(inputs, operation_fn, cut)

        # The model around the run casts inputs and collects penalties.
        self._graph._run_through_graph = run
        try:
            return read(self._graph), cut
        finally:
            del self._graph._run_through_graph

    def _run(self, inputs: Any, operation_fn: Any, cut: Cut) -> Any:
        values = {
            id(x): y
            for x, y in zip(
                self._graph.inputs, keras.tree.flatten(inputs), strict=True
            )
        }
        forks = {id(x) for x in self._forks}
        copies: dict[str, dict[int, Any]] = {task: {} for task in self.tasks}

        def seen_by(task: str, x: Any) -> Any:
            if id(x) not in forks:
                return values[id(x)]
            if id(x) not in copies[task]:
                copies[task][id(x)] = tf.identity(values[id(x)])
            return copies[task][id(x)]

        for node in self._nodes:
            known: Mapping[int, Any] = values
            task = self._owner.get(id(node))
            if task is not None:
                known = {id(x): seen_by(task, x) for x in node.input_tensors}
            args, kwargs = node.arguments.fill_in(known)
            outputs = operation_fn(node.operation)(*args, **kwargs)
            flat = keras.tree.flatten(outputs)
            values |= {
                id(x): y for x, y in zip(node.outputs, flat, strict=True)
            }
        ends = {
            task: keras.tree.map_structure(
                lambda x, task=task: seen_by(task, x), end
            )
            for task, end in self._ends.items()
        }
        cut.forks = [values[id(x)] for x in self._forks]
        cut.copies = {
            task: [own.get(id(x)) for x in self._forks]
            for task, own in copies.items()
        }
        return ends

    def _reach(self) -> dict[int, set[str]]:
        """Return node -> the tasks whose loss depends on it."""
        wanted: dict[int, set[str]] = {}
        for task, end in self._ends.items():
            for x in keras.tree.flatten(end):
                wanted.setdefault(id(x), set()).add(task)
        reach = {}
        for node in reversed(self._nodes):
            tasks = set().union(
                *(wanted.get(id(x), set()) for x in node.outputs)
            )
            for x in node.input_tensors:
                wanted.setdefault(id(x), set()).update(tasks)
            reach[id(node)] = tasks
        return reach

    def _sort_variables(self, reach: Mapping[int, set[str]]) -> None:
        readers: dict[int, set[str]] = {}
        for node in self._nodes:
            for v in _trainable(node.operation):
                readers.setdefault(id(v), set()).update(reach[id(node)])
        layers = _distinct(node.operation for node in self._nodes)
        self.layers = [
            layer
            for layer in layers
            if any(len(readers[id(v)]) > 1 for v in _trainable(layer))
        ]
        every = _distinct(v for layer in layers for v in _trainable(layer))
        self.variables = [v for v in every if len(readers[id(v)]) > 1]
        self.own = {
            task: [v for v in every if readers[id(v)] == {task}]
            for task in self.tasks
        }
        self._shared = {id(layer) for layer in self.layers}
        leads: set[int] = set()  # tensors on the way to a shared layer
        followed: set[int] = set()
        for node in reversed(self._nodes):
            leading = any(id(x) in leads for x in node.outputs)
            if leading:
                followed.add(id(node.operation))
            if leading or id(node.operation) in self._shared:
                leads.update(id(x) for x in node.input_tensors)
        last = [x for x in self.layers if id(x) not in followed]
        self.last_layers = last or self.layers[-1:]
        self.last_kernels = [
            max(_trainable(layer)[::-1], key=lambda v: len(v.shape))
            for layer in self.last_layers
        ]

    def _behind_the_cut(self, reach: Mapping[int, set[str]]) -> dict[int, str]:
        """Return node -> its task, for the nodes behind the cut."""
        owner = {}
        leads: set[int] = set()  # tensors on the way to a node before it
        for node in reversed(self._nodes):
            if (
                len(reach[id(node)]) > 1
                or id(node.operation) in self._shared
                or any(id(x) in leads for x in node.outputs)
            ):
                leads.update(id(x) for x in node.input_tensors)
            else:
                (owner[id(node)],) = reach[id(node)]
        return owner

    def _crossing(self) -> list[Any]:
        """Return what crosses the cut and depends on shared weights."""
        depends: set[int] = set()
        crossing = []
        for node in self._nodes:
            if id(node) in self._owner:
                crossing += node.input_tensors
            elif id(node.operation) in self._shared or any(
                id(x) in depends for x in node.input_tensors
            ):
                depends.update(id(x) for x in node.outputs)
        crossing += keras.tree.flatten(self._ends)
        return [x for x in _distinct(crossing) if id(x) in depends]


def _trainable(operation: Any) -> list[Any]:
    return getattr(operation, "trainable_variables", [])


def _distinct(things: Iterable[Any]) -> list[Any]:
    """Keep the first of each thing; tensors compare by identity alone."""
    return list({id(thing): thing for thing in things}.values())
