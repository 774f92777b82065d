"""What nodes are computed from, and what they go into, against sets built node after node."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastgrad.reachability import dependent_on, needed_for

# each node's operands, as how far before it they stand
graphs = st.lists(st.lists(st.integers(1, 6), max_size=3), min_size=1, max_size=30).map(
    lambda nodes: [[max(node - back, 0) for back in operands] if node else [] for node, operands in enumerate(nodes)]
)


def arrays(graph):
    starts = np.cumsum([0, *map(len, graph)]).astype(np.uint32)
    return starts, np.array([operand for operands in graph for operand in operands], np.uint32)


def ancestors(graph, results, given=()):
    found, pending = set(results), list(set(results) - set(given))
    while pending:
        for operand in graph[pending.pop()]:
            if operand not in found:
                found.add(operand)
                if operand not in given:
                    pending.append(operand)
    return found


@settings(deadline=None)  # the first example may have the kernels compiled
@given(graphs, st.data())
def test_what_nodes_are_computed_from(graph, data):
    nodes = st.integers(0, len(graph) - 1)
    results, stops = data.draw(st.lists(nodes, max_size=4)), data.draw(st.lists(nodes, max_size=3))
    found = needed_for([np.array(results, np.uint32)], *arrays(graph), given=stops)
    assert set(np.flatnonzero(found).tolist()) == ancestors(graph, results, stops)


@settings(deadline=None)  # the first example may have the kernels compiled
@given(graphs, st.data())
def test_what_is_computed_from_nodes(graph, data):
    chosen = data.draw(st.lists(st.integers(0, len(graph) - 1), max_size=4))
    found = dependent_on(np.array(chosen, np.int64), *arrays(graph))
    expected = {node for node in range(len(graph)) if ancestors(graph, [node]) & set(chosen)}
    assert set(np.flatnonzero(found).tolist()) == expected


@pytest.mark.parametrize("n", [0, 1, 100_000])
def test_long_chains_and_empty_tapes(n):
    starts, operands = np.maximum(np.arange(-1, n), 0)[: n + 1], np.arange(max(n - 1, 0))
    starts[0] = 0
    assert needed_for([np.arange(n)[-1:]], starts, operands).sum() == n
    assert dependent_on(np.arange(n)[:1], starts, operands).sum() == n
