"""Pictures of graphs, drawn with a stand-in for the optional package graphviz."""

from __future__ import annotations

import re
import sys
import types
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.computational_graph import build_graph


class Digraph:
    """Notes what is drawn."""

    def __init__(self, **options: Any) -> None:
        self.node_attr: dict[str, str] = {}
        self.nodes: dict[str, str] = {}
        self.arrows: list[tuple[str, str]] = []
        self.boxes: list[Digraph] = []
        self.title = ""
        self.rendered: dict[str, Any] | None = None

    def node(self, name: str, label: str, **options: Any) -> None:
        self.nodes[name] = label

    def edges(self, arrows: Any) -> None:
        self.arrows += arrows

    def attr(self, label: str) -> None:
        self.title = label

    def subgraph(self, name: str) -> Digraph:
        assert name.startswith("cluster")
        self.boxes.append(Digraph())
        return self.boxes[-1]

    def __enter__(self) -> Digraph:
        return self

    def __exit__(self, *exc: object) -> None:
        return None

    def render(self, **options: Any) -> None:
        self.rendered = options

    def labelled(self) -> list[tuple[str, str]]:
        return [(self.nodes[a], self.nodes[b]) for a, b in self.arrows]


@pytest.fixture
def _graphviz(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("graphviz")
    module.Digraph = Digraph  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "graphviz", module)


def test_without_graphviz_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "graphviz", None)
    with pytest.raises(ImportError, match=r"pip install tapegrad\[graphviz\]"):
        build_graph(tg.tensor(1.0) * 2.0)


@pytest.mark.usefixtures("_graphviz")
def test_the_graph_of_a_tensor_has_its_names() -> None:
    x, y = tg.tensor(2.0), tg.tensor([3.0, 4.0])
    f = x * y
    g = np.sum(f)
    picture = build_graph(g, names={"x": x, "y": y, "f": f})
    assert picture.labelled() == [
        ("x", "multiply"), ("y", "multiply"), ("multiply", "f"), ("f", "sum"), ("sum", "14.0"),
    ]  # fmt: skip
    g.backward()
    assert x.grad == 7.0, "drawing leaves the graph as it was"


@pytest.mark.usefixtures("_graphviz")
def test_arrays_have_names_and_values_that_nobody_holds_are_shown() -> None:
    x, a, b = tg.tensor([1.0, 2.0]), np.array([4.0, 5.0]), np.array([1.0, 1.0])
    y = ((x + a) * x - b).sum()
    picture = build_graph(y, {"x": x, "a": a, "b": b})
    assert {("a", "add"), ("x", "add"), ("b", "subtract")} <= set(picture.labelled())
    shown = list(build_graph(y).nodes.values())
    for label in ("array([4., 5.])", "Tensor([5., 7.])", "Tensor([ 5., 14.])", "array([1., 1.])"):
        assert label in shown
    z = np.exp(tg.tensor([0.0, 1.0]))[:1] * mask_of(x)
    assert "Tensor([1.])" in build_graph(z).nodes.values()


@pytest.mark.usefixtures("_graphviz")
def test_numbers_are_labelled_by_their_value_as_in_the_documented_picture() -> None:
    x = tg.tensor(2)
    y = tg.tensor(3)
    f = x * y
    g = f + x - 2
    picture = build_graph(g, names=locals())
    assert picture.labelled()[-3:] == [("8", "subtract"), ("2", "subtract"), ("subtract", "g")]
    floats = build_graph(np.maximum(1.5 + tg.tensor([1.0]), 0.25) / 2.0).nodes.values()
    assert {"1.5", "0.25", "2.0", "Tensor([2.5])"} <= set(floats)


def mask_of(x: Any) -> Any:
    return (x > 1.5)[:1]


@pytest.mark.usefixtures("_graphviz")
def test_names_match_by_identity_and_labels_show_what_is_asked_for() -> None:
    x = tg.tensor([1.0, 2.0])
    y = x * np.array([2.0, 4.0])
    names = {"x": tg.tensor([1.0, 2.0]), "y": y}
    labels = build_graph(y, names, dims=True, dtypes=True, sum_stats=True).nodes.values()
    assert "y\nDims: (2,)\nDtype: float64\nMin: 2\nMax: 8\nMedian: 5\nMean: 5" in labels
    assert not any(label.startswith("x") for label in labels)
    assert any(label.startswith("Constant") for label in labels)
    plain = build_graph(y).nodes.values()
    assert "Tensor([1., 2.])" in plain and "array([2., 4.])" in plain


@pytest.mark.usefixtures("_graphviz")
def test_a_leaf_is_a_picture_too_and_rendering_can_be_left_out() -> None:
    x = tg.tensor(1.0)
    assert list(build_graph(x, {"x": x}).nodes.values()) == ["x"]
    assert build_graph(x, render=False) is None


@pytest.mark.usefixtures("_graphviz")
def test_saving_writes_the_documented_file() -> None:
    picture = build_graph(tg.tensor(1.0) * 2.0, save=True)
    assert picture.rendered is not None
    assert picture.rendered["filename"] == "computational_graph"


@pytest.mark.usefixtures("_graphviz")
def test_a_tape_is_drawn_with_all_its_entries() -> None:
    x = tg.tensor([1.0, 2.0])
    with tg.Tape() as tape:
        np.floor(np.exp(x))
    picture = build_graph(tape, {"x": x})
    operations = [label for label in picture.nodes.values() if label in ("exp", "floor")]
    assert operations == ["exp", "floor"]


@pytest.mark.usefixtures("_graphviz")
def test_an_operation_with_several_results_is_one_box() -> None:
    x = tg.tensor(2.0)
    with tg.Tape() as tape:
        y, z = tg.cond(x > 0, lambda x: (np.sin(x), x * x), lambda x: (x, 2 * x), x)
        y * tg.exp(z, constant=True)
    for picture in (build_graph(tape, {"x": x, "y": y, "z": z}), build_graph(y, locals())):
        arrows = picture.labelled()
        assert ("x", "cond") in arrows and ("cond", "y") in arrows
        assert "output" not in picture.nodes.values()
    assert ("cond", "z") in build_graph(tape, {"z": z}).labelled()


@pytest.mark.usefixtures("_graphviz")
def test_kernels_are_boxes_around_what_they_fuse() -> None:
    compiled = tg.jit(lambda x, w: np.sum(np.tanh(np.matmul(x, w)) * 2.0))
    with pytest.raises(ValueError, match="call it once"):
        build_graph(compiled)
    compiled(np.ones((20, 30)), np.ones((30, 20)))
    picture = build_graph(compiled)
    assert "matmul" in picture.nodes.values()
    (box,) = picture.boxes
    assert box.title == "kernel 0 over (20, 20)"
    assert {"tanh", "multiply", "sum"} <= set(box.nodes.values())
    assert not set(box.nodes) & set(picture.nodes)
    inner = [label for key, label in box.nodes.items() if key.startswith("v")]
    assert inner == ["float64[20, 20]"] * 2, "what only the kernel sees is in the box"


@pytest.mark.usefixtures("_graphviz")
def test_labels_are_text_whatever_they_contain() -> None:
    x = tg.tensor([1.0, 2.0])
    y = x * 2.0
    labels = build_graph(y, {r"a\b": x, "<b>y</b>": y}).nodes.values()
    assert r"a\\b" in labels and not any(label.startswith("<") for label in labels)


LINE = re.compile(
    r"""strict\ digraph\ \{ | \} | subgraph\ cluster\d+\ \{ | node\ \[.*\] | label="[^"]*"
    | (?P<node>[vo]\d+)\ \[label=("[^"]*"|[\w.]+)(\ \w+=\w+)*\] | (?P<edge>[vo]\d+\ ->\ [vo]\d+)""",
    re.VERBOSE,
)


def test_the_package_graphviz_makes_a_valid_source_of_each_picture() -> None:
    pytest.importorskip("graphviz")
    x = tg.tensor([[1.0, 2.0], [3.0, 4.0]])
    with tg.Tape() as tape:
        y = np.sum(np.exp(x[0]) * np.array([1.0, 2.0])) + 1.0
    compiled = tg.jit(tg.value_and_grad(lambda a: np.sum(np.sin(a @ a) * a)))
    compiled(np.ones((9, 9)))
    for what, options in (
        (np.sum(x * 2.0), {}),
        (np.sum(x * 2.0), {"names": {"x": x}, "dims": True, "dtypes": True, "sum_stats": True}),
        (y, {}),
        (tape, {}),
        (compiled, {}),
    ):
        source = build_graph(what, **options).source
        lines = list(LINE.finditer(source))
        rest = LINE.sub("", source)
        assert not rest.strip(), f"not a line of a graph: {rest}"
        nodes = {m["node"] for m in lines if m["node"]}
        ends = {end for m in lines if m["edge"] for end in m["edge"].split(" -> ")}
        assert ends <= nodes and len(nodes) > 2


def test_other_things_cannot_be_drawn() -> None:
    with pytest.raises(TypeError, match="draws a tensor"):
        build_graph(np.ones(2))  # type: ignore[arg-type]
