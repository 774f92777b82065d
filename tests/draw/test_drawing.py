"""Drawings: what stands in them, in every format."""

import json
import re
import shutil
import subprocess
import sys
from itertools import pairwise
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastgrad as fg
from fastgrad.draw.folding import fold, picture
from fastgrad.draw.layout import Rectangle, arrange
from fastgrad.draw.values import adjoints_of, short, values_of
from fastgrad.errors import InputError, UnsupportedError

HOSTILE = '<script>alert(1)</script>"\'&]]>--> %% ;"]\\n}\\'
SVG = "{http://www.w3.org/2000/svg}"


def small():
    return fg.record(lambda x, y: np.exp(-(x**2)) * np.sin(y) / (2 + y), 1.0, 2.0)


def grouped():
    def network(x, p):
        for layer, weights in enumerate(p):
            with fg.group("layers"), fg.group(f"dense_{layer}"):
                x = fg.name(np.tanh(weights @ x), "hidden")
        with fg.group("loss"):
            return np.sum(x**2)

    return fg.record(network, np.ones(3), [np.full((3, 3), 0.1)] * 2)


def long(n):
    def f(x):
        for _ in range(n):
            x = np.sin(x) + 0.1 * x * x
        return x

    return fg.record(f, 0.1)


def picture_of(tape, folded=(), max_boxes=150):
    return picture(tape, fold(tape, folded, max_boxes), "graph", {}, {}, False)


def test_each_node_has_a_box_and_numbers_stand_in_the_labels_of_their_users():
    drawn = picture_of(small())
    assert [box.label for box in drawn.boxes] == ["x", "y", "x^2", "-□", "exp(□)", "sin(y)", "□*□", "2 + y", "□/□"]
    assert drawn.boxes[-1].kind == "output"


@pytest.mark.parametrize(("f", "label"), [(lambda x: np.sin(x) + np.cos(x), "□ + □"), (lambda x: np.sin(x) * 3, "3*□")])
def test_different_operands_are_not_taken_for_one(f, label):
    assert picture_of(fg.record(f, 1.0)).boxes[-1].label == label


def edges_of_the_tape(tape, folding):
    """Between which boxes values pass, found node by node."""

    def boxes_behind(node):
        box = int(folding.boxes[node])
        if box >= 0:
            return {box}
        return {found for operand in tape.operands_of(node) for found in boxes_behind(int(operand))}

    pairs = {
        (box, int(folding.boxes[node]))
        for node in range(len(tape))
        if folding.boxes[node] >= 0
        for operand in tape.operands_of(node)
        for box in boxes_behind(int(operand))
    }
    return {(source, target) for source, target in pairs if source != target}


def edges_of(drawn):
    """The edges of a picture, those of copies as those of what they are copies of."""
    ends = [box.copy_of if box.copy_of >= 0 else k for k, box in enumerate(drawn.boxes)]
    return sorted((ends[edge.source], ends[edge.target]) for edge in drawn.edges)


def random_tape(seed, n):
    rng = np.random.default_rng(seed)

    def f(x, p):
        values = [x, *p.values()]
        for _ in range(n):
            with fg.group(str(rng.choice(["first", "second", "third"]))), fg.group(str(rng.choice(["a", "b"]))):
                one, other = (values[k] for k in rng.integers(len(values), size=2))
                new = (np.sin(one), one * other, one + 0.5, np.reshape(one, (1, 3))[0])[int(rng.integers(4))]
                values.append(fg.name(new, "hidden") if rng.random() < 0.2 else new)
        return values[-1], values[int(rng.integers(len(values)))]

    return fg.record(f, np.ones(3), {"first/weight": np.ones(3), "second/a/weight": np.ones(3)})


def overlap(one, other):
    apart_x = one.x + one.width <= other.x or other.x + other.width <= one.x
    return not (apart_x or one.y + one.height <= other.y or other.y + other.height <= one.y)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10**6), st.integers(1, 90), st.sampled_from([10, 20, 60, 150]), st.booleans())
def test_any_tape_is_drawn_with_its_edges_and_no_others_and_no_boxes_overlap(seed, n, most, is_folded):
    tape = random_tape(seed, n)
    folded = [path for path in ("first/a", "second") if is_folded and any(p.startswith(path) for p in tape.groups)]
    folding = fold(tape, folded, most)
    drawn = picture(tape, folding, "graph", {}, {}, False)
    assert len(drawn.boxes) <= most
    assert edges_of(drawn) == sorted(edges_of_the_tape(tape, folding))
    places = arrange(drawn).boxes
    assert not any(overlap(one, other) for k, one in enumerate(places) for other in places[k + 1 :])


def test_lines_pass_no_box():
    drawn = picture_of(fg.nn.build(fg.nn.TransformerBlock(2, 4, 16), (5, 4)).tape.adjoint(), max_boxes=1000)
    arrangement = arrange(drawn)
    assert len(drawn.boxes) > 100
    for edge, points in zip(drawn.edges, arrangement.edges, strict=True):
        for (x, y), (next_x, next_y) in pairwise(points):
            line = Rectangle(min(x, next_x), min(y, next_y), abs(next_x - x), abs(next_y - y))
            passed = {k for k, place in enumerate(arrangement.boxes) if overlap(line, place)}
            assert passed <= {edge.source, edge.target}


def test_an_input_that_many_use_is_drawn_again_beside_each_user():
    tape = fg.record(lambda x: [np.sin(k * x) for k in range(2, 12)], 1.0)
    drawn = picture_of(tape)
    copies = [box for box in drawn.boxes if box.copy_of >= 0]
    assert [(box.label, box.notes) for box in copies] == [("x", ("input \u00b7 copy",))] * 9
    assert all(box.title.startswith("copy of %0: x") for box in copies)
    users = [edge.source for edge in drawn.edges]
    assert len(set(users)) == len(users)
    assert not any(box.copy_of >= 0 for box in picture_of(tape, max_boxes=22).boxes)


def test_reshapes_that_add_or_drop_ones_are_drawn_inside_their_users():
    drawn = picture_of(
        fg.record(lambda x, w: np.reshape(np.reshape(x, (1, 3)) @ w, (2,)) * 2, np.ones(3), np.ones((3, 2)))
    )
    assert [box.label for box in drawn.boxes] == ["x", "w", "x @ w", "2*\u25a1"]
    named = picture_of(fg.record(lambda x: fg.name(np.reshape(x, (1, 3)), "row") * 2, np.ones(3)))
    assert [box.label for box in named.boxes] == ["x", "row = reshape(x)", "2*row"]


def test_parameters_stand_in_the_frame_or_box_of_their_layer():
    network = fg.nn.build(fg.nn.Sequential(fg.nn.Dense(4), fg.nn.Dense(2)), 3, seed=0)
    drawn = network.draw(folded=False).panels[0]
    frames = {f"{drawn.frames[box.frame].label}/{box.label}" for box in drawn.boxes if box.kind == "parameter"}
    assert frames == set(network.parameters)
    folded = network.draw().panels[0].boxes
    assert [box.label for box in folded] == ["x", "dense", "dense_1"]
    assert folded[1].notes[2] == "2 parameters \u00b7 16 numbers"


def test_one_name_of_two_operands_stands_for_neither():
    def f(x):
        with fg.group("a"):
            one = fg.name(np.sin(x), "output")
        with fg.group("b"):
            other = fg.name(np.cos(x), "output")
        return (one + other) * (one + one)

    labels = [box.label for box in picture_of(fg.record(f, 1.0)).boxes]
    assert labels[3:] == ["\u25a1 + \u25a1", "2*output", "\u25a1*\u25a1"]


def test_names_of_derivatives_keep_their_brackets():
    def f(x):
        with fg.group("layer"):
            return fg.name(np.sin(fg.name(x * 2, "hidden")), "result")

    labels = [box.label for box in picture_of(fg.record(f, 1.0).adjoint()).boxes]
    assert "adjoint(hidden) = adjoint(result)*\u25a1" in labels


def test_groups_are_frames_or_folded_into_one_box():
    tape = grouped()
    assert [frame.label for frame in picture_of(tape).frames] == ["layers", "dense_0", "dense_1", "loss"]
    one = picture_of(tape, ["layers/dense_0"])
    assert [(box.label, one.frames[box.frame].label) for box in one.boxes if box.kind == "folded"] == [
        ("dense_0", "layers")
    ]
    whole = picture_of(tape, ["layers"])
    assert [box.label for box in whole.boxes if box.kind == "folded"] == ["layers"]
    assert [frame.label for frame in whole.frames] == ["loss"]


@pytest.mark.parametrize("n", [50, 400, 4000])
@pytest.mark.parametrize("most", [10, 40, 150])
def test_no_more_boxes_than_asked_for_and_none_of_the_operations_is_lost(n, most):
    tape = long(n)
    folding = fold(tape, (), most)
    drawn = picture(tape, folding, "graph", {}, {}, False)
    assert len(drawn.boxes) <= most
    operations = sum(
        int(re.search(r"([\d,]+) op", box.notes[0])[1].replace(",", "")) for box in drawn.boxes if box.kind == "folded"
    )
    assert operations + sum(box.kind in ("operation", "output") for box in drawn.boxes) == tape.n_operations


def test_many_inputs_are_folded_too():
    tape = fg.record(lambda *xs: sum(np.sin(x) for x in xs), *np.ones(500))
    drawn = picture_of(tape)
    assert len(drawn.boxes) <= 150
    assert "500 inputs" in [box.label for box in drawn.boxes]


def test_boxes_do_not_overlap_and_stay_in_the_drawing():
    drawn = picture_of(grouped())
    arrangement = arrange(drawn)
    places = arrangement.boxes
    for k, one in enumerate(places):
        assert one.x >= 0
        assert one.x + one.width <= arrangement.width
        assert one.y >= 0
        assert one.y + one.height <= arrangement.height
        assert not any(overlap(one, other) for other in places[k + 1 :])


def test_values_are_those_of_numpy():
    tape = small()
    found = values_of(tape, np.arange(len(tape)), {"y": 2.0, "x": 1.0})
    assert found[len(tape) - 1] == pytest.approx(np.exp(-1.0) * np.sin(2.0) / 4.0, rel=1e-14)


def test_adjoints_are_the_derivatives_by_each_node():
    tape = fg.record(
        lambda x, w: np.sum(np.sin(w @ x) ** 2), np.array([0.3, -0.2]), np.array([[1.0, 2.0], [0.5, -1.0]])
    )
    inputs = [np.array([0.3, -0.2]), np.array([[1.0, 2.0], [0.5, -1.0]])]
    found = adjoints_of(tape, np.arange(len(tape)), inputs, None)
    product = inputs[1] @ inputs[0]
    expected = {"sin": 2 * np.sin(product), "square": np.ones(2), "sum": 1.0}
    for node in tape:
        if node.operation in expected:
            np.testing.assert_allclose(found[node.number], expected[node.operation], rtol=1e-14)
    np.testing.assert_allclose(found[int(tape.inputs[0])], inputs[1].T @ np.sin(2 * product), rtol=1e-13)


def test_forward_and_reverse_stand_side_by_side():
    drawing = small().draw(values=[1.0, 2.0], adjoints=True)
    forward, reverse = drawing.panels
    assert forward.boxes[0].notes == ("input", "value 1")
    assert reverse.boxes[0].notes == ("input", "adjoint -0.1673")
    assert reverse.is_reverse
    assert reverse.edges == forward.edges
    texts = [text.text for text in ElementTree.fromstring(drawing.text).iter(SVG + "text")]
    assert "Forward sweep: values" in texts
    assert "Reverse sweep: adjoints" in texts


@pytest.mark.parametrize(
    ("value", "text"),
    [(1 / 3, "0.3333"), ([1.0, 2.0], "[1, 2]"), (np.arange(10.0), "0 .. 9"), (np.zeros((0, 2)), "[]")],
)
def test_values_are_abbreviated(value, text):
    assert short(value) == text


@pytest.mark.parametrize("theme", ["light", "dark", "auto"])
def test_the_svg_is_well_formed_and_says_in_text_what_colours_say(theme):
    root = ElementTree.fromstring(grouped().draw(theme=theme).text)
    assert root.get("role") == "img"
    assert root.find(SVG + "title").text
    assert root.find(SVG + "desc").text
    style = root.find(SVG + "style").text
    assert ("prefers-color-scheme" in style) == (theme == "auto")
    nodes = [element for element in root.iter(SVG + "g") if element.get("class") == "node"]
    assert len(nodes) == len(picture_of(grouped()).boxes)
    for node in nodes:
        assert node.find(SVG + "title").text
        kind = node.find(SVG + "rect").get("class")
        if kind != "operation":
            assert any(kind in (text.text or "") for text in node.findall(SVG + "text")), kind


def _luminance(colour):
    parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return float(np.dot([0.2126, 0.7152, 0.0722], linear))


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_has_the_contrast_of_wcag_aaa(theme):
    style = small().draw(theme=theme).text
    ink = _luminance(re.search(r"text\{fill:(#\w+)", style)[1])
    for fill in re.findall(r"\.(?:input|parameter|constant|operation|output|folded|frame|paper)\{fill:(#\w+)", style):
        low, high = sorted([ink, _luminance(fill)])
        assert (high + 0.05) / (low + 0.05) >= 7, fill


def hostile():
    def f(x):
        with fg.group(HOSTILE.replace("/", "")):
            return fg.name(np.sin(x), HOSTILE.replace("/", "")) * 2

    return fg.record(f, 1.0)


@pytest.mark.parametrize("format", ["svg", "html", "mermaid", "dot"])
def test_names_cannot_bring_in_syntax(format):
    text = hostile().draw(format).text
    if format != "dot":  # where a quoted text may hold anything
        assert "<script>alert" not in text
    if format == "svg":
        ElementTree.fromstring(text)
    if format == "mermaid":
        for line in text.splitlines():
            assert re.fullmatch(
                r'flowchart TB|end|subgraph p0f\d+\["[\w #;]*"\]|p0n\d+ --> p0n\d+'
                r'|p0n\d+[\[({/]+"(?:[\w #;]|<br/>)*"[\])}/]+',
                line,
            ), line
    if format == "dot":
        for line in text.splitlines():
            outside = re.sub(r'"(?:[^"\\]|\\.)*"', "", line)
            assert "script" not in outside
            assert '"' not in outside


def test_drawings_are_the_same_each_time():
    for format in ("svg", "html", "mermaid", "dot"):
        assert grouped().draw(format).text == grouped().draw(format).text


def test_png_is_one(tmp_path):
    small().draw("png").save(tmp_path / "small.png")
    assert (tmp_path / "small.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


def test_jupyter_shows_the_drawing():
    drawing = small().draw()
    assert drawing._repr_svg_() == drawing._repr_mimebundle_()["image/svg+xml"] == str(drawing)
    assert small()._repr_mimebundle_()["image/svg+xml"] == str(drawing)
    assert small().draw("html")._repr_html_().startswith("<iframe")
    assert small().draw("mermaid")._repr_mimebundle_()["text/plain"].startswith("flowchart")


def test_without_the_extra_an_error_names_it_and_jupyter_shows_the_listing(monkeypatch):
    monkeypatch.setitem(sys.modules, "graphlay", None)
    tape = small()
    with pytest.raises(UnsupportedError, match=r"needs a layout library: pip install 'fastgrad\[draw\]'"):
        str(tape.draw())
    assert tape._repr_mimebundle_() == {"text/plain": str(tape)}
    assert tape.draw("mermaid").text
    assert tape.draw("dot").text


def test_without_a_renderer_an_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "resvg_py", None)
    with pytest.raises(UnsupportedError, match=r"PNG drawings need a renderer: pip install 'fastgrad\[draw\]'"):
        _ = small().draw("png").png


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"format": "gif"}, "format must be one of 'dot', 'html', 'mermaid', 'png', 'svg', not 'gif'"),
        ({"theme": "pink"}, "theme must be one of 'auto', 'dark', 'light', not 'pink'"),
        ({"max_boxes": 2}, "max_boxes must be a whole number from 10 on, not 2"),
        ({"fold_groups": ["encoder"]}, "the tape has no group 'encoder'; it has none"),
        ({"adjoints": True}, "adjoints need the inputs at which they are taken"),
        ({"values": [1.0, 2.0], "adjoints": [1.0, 1.0]}, "the tape has 1 outputs, and there are 2 cotangents"),
        ({"values": [1.0]}, "must be given"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(arguments, message):
    with pytest.raises(InputError, match=re.escape(message)):
        small().draw(**arguments)


def test_arrows_touch_the_boxes_that_they_join():
    drawn = picture_of(small())
    arrangement = arrange(drawn)
    for edge, points in zip(drawn.edges, arrangement.edges, strict=True):
        for end, (x, y) in ((edge.source, points[0]), (edge.target, points[-1])):
            box = arrangement.boxes[end]
            assert box.x - 1 <= x <= box.x + box.width + 1
            assert box.y - 1 <= y <= box.y + box.height + 1
        assert all(one != other for one, other in pairwise(points))


def test_a_tape_whose_arrows_pass_hundreds_of_layers_is_drawn_with_every_arrow():
    def f(x):
        values = [x]
        for k in range(200):
            values.append(np.sin(values[-1]) * values[(7 * k) % len(values) // 2])
        return values[-1]

    drawn = picture_of(fg.record(f, 0.5), max_boxes=1000)
    arrangement = arrange(drawn)
    assert len(drawn.boxes) == 401
    for edge, points in zip(drawn.edges, arrangement.edges, strict=True):
        source, target = arrangement.boxes[edge.source], arrangement.boxes[edge.target]
        assert source.y + source.height <= target.y
        assert source.x - 1 <= points[0][0] <= source.x + source.width + 1
        assert target.x - 1 <= points[-1][0] <= target.x + target.width + 1


def test_graphviz_reads_the_dot_and_finds_all_boxes_and_edges():
    program = shutil.which("dot")
    if program is None:
        pytest.skip("needs Graphviz")
    for tape in (small(), grouped(), hostile()):
        drawing = tape.draw("dot")
        found = subprocess.run([program, "-Tjson0"], input=drawing.text, text=True, capture_output=True, check=True)
        assert found.stderr == ""
        graph = json.loads(found.stdout)
        drawn = drawing.panels[0]
        nodes = [node for node in graph["objects"] if "nodes" not in node and not node["name"].startswith("cluster")]
        assert (len(nodes), len(graph.get("edges", []))) == (len(drawn.boxes), len(drawn.edges))


@pytest.mark.parametrize("letter", ["\x00", "\x1b", "\n", "\ufffe", "\ud800"])
@pytest.mark.parametrize("format", ["svg", "html", "mermaid", "dot"])
def test_letters_that_no_file_may_hold_are_left_out(format, letter):
    odd = f"a{letter}b"
    tape = fg.record(lambda x: fg.group(odd)(lambda y: fg.name(np.sin(y), odd) * 2.0)(x), 1.0).rename({"x": odd})
    for folded in ([], [odd]):
        text = tape.draw(format, fold_groups=folded).text
        assert letter == "\n" or letter not in text
        text.encode()
        if format == "svg":
            ElementTree.fromstring(text)


@pytest.mark.parametrize("most", [200, 175, 150, 10])
def test_no_more_boxes_than_asked_for_where_lines_are_folded(most):
    lines = [f"    s = np.tanh(s + a[{k % 45}]) * s\n    s = np.sin(s) * {k}.5\n" for k in range(65)]
    space = {"np": np}
    exec("def f(*a):\n    s = 1.0\n" + "".join(lines) + "    return s\n", space)
    tape = fg.record(space["f"], *np.ones(45))
    assert len(tape.draw("dot", max_boxes=most).panels[0].boxes) <= most
