"""One tape changed into another."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import fastgrad as fg

X = np.array([0.3, -0.7, 1.1])


def two_layers(x: Any, w1: Any, w2: Any) -> Any:
    with fg.group("first"):
        hidden = fg.name(np.tanh(fg.name(w1 @ x, "product")), "hidden")
    with fg.group("second"):
        out = fg.name(w2 @ hidden, "out")
    return np.sum(out**2)


RANDOM = np.random.default_rng(5)
W1, W2 = RANDOM.normal(size=(4, 3)), RANDOM.normal(size=(2, 4))


def layers() -> fg.Tape:
    return fg.record(two_layers, X, W1, W2)


def check(tape: fg.Tape, program: Any, *inputs: Any) -> None:
    """The tape is whole, and computes what the program does, with the same derivatives."""
    tape.validate()
    assert_allclose(tape(*inputs), program(*inputs), rtol=1e-13)
    if tape.output_shapes == ((),):
        everything = tuple(range(len(inputs)))
        for found, expected in zip(
            fg.grad(tape, everything)(*inputs), fg.grad(program, everything)(*inputs), strict=True
        ):
            assert_allclose(found, expected, rtol=1e-12, atol=1e-14)


def test_what_is_inserted_after_a_node_is_used_in_its_place() -> None:
    edited = layers().insert_after("first/hidden", lambda h: h * np.exp(-h))

    def program(x: Any, w1: Any, w2: Any) -> Any:
        hidden = np.tanh(w1 @ x)
        return np.sum((w2 @ (hidden * np.exp(-hidden))) ** 2)

    check(edited, program, X, W1, W2)
    assert edited["first/hidden"].operation == "tanh"


def test_a_group_as_a_place_is_its_result() -> None:
    assert layers().insert_after("first", np.sin) == layers().insert_after("first/hidden", np.sin)


def test_inserted_functions_bring_inputs_of_their_own() -> None:
    edited = layers().insert_after("first/hidden", lambda h, scale: scale * h, inputs={"scale": np.ones(4)})
    assert edited.input_names == ("x", "w1", "w2", "scale")
    scale = np.arange(4.0)
    check(edited, lambda x, w1, w2, scale: np.sum((w2 @ (scale * np.tanh(w1 @ x))) ** 2), X, W1, W2, scale)


def test_inserting_after_an_output_changes_the_output() -> None:
    tape = layers()
    check(tape.insert_after(tape.nodes[-1], np.sqrt), lambda *args: np.sqrt(two_layers(*args)), X, W1, W2)


def test_inserting_before_a_node_leaves_other_uses_alone() -> None:
    tape = fg.record(lambda x: fg.name(np.sin(x), "sine") * np.cos(x), 0.5)
    check(tape.insert_before("sine", lambda x: x * x), lambda x: np.sin(x * x) * np.cos(x), 0.7)


def test_inserting_before_one_of_several_operands() -> None:
    tape = fg.record(lambda x, y: fg.name(x - y, "difference"), 0.5, 0.7)
    check(tape.insert_before("difference", np.exp, operand=1), lambda x, y: x - np.exp(y), 0.5, 0.7)
    same = fg.record(lambda x: fg.name(x - np.sin(x), "difference") + x, 0.5)
    check(same.insert_before("difference", np.exp, operand=0), lambda x: np.exp(x) - np.sin(x) + x, 0.5)
    with pytest.raises(
        fg.InputError, match=r"works on 2 values \(0: 'x' \(input\), 1: 'y' \(input\)\). Say with operand="
    ):
        tape.insert_before("difference", np.exp)


def test_a_replaced_node_hands_on_its_name() -> None:
    edited = layers().replace_node("first/hidden", lambda y: np.maximum(y, 0.0))
    check(edited, lambda x, w1, w2: np.sum((w2 @ np.maximum(w1 @ x, 0.0)) ** 2), X, W1, W2)
    assert (edited["first/hidden"].operation, edited["first/hidden"].group) == ("maximum", "first")


def test_a_replaced_group_takes_its_parameters_along() -> None:
    edited = layers().replace_node("second", lambda hidden: hidden[:2] * 2.0)
    assert edited.input_names == ("x", "w1")
    check(edited, lambda x, w1: np.sum((2.0 * np.tanh(w1 @ x)[:2]) ** 2), X, W1)


def test_what_is_used_further_on_keeps_its_shape() -> None:
    tape = fg.record(lambda x, b: np.mean(fg.name(x * b, "scaled") ** 2), X, 2.0)
    for other in (lambda x, b: np.outer(x, x) * b, lambda x, b: np.concatenate([x, x]) * b):
        with pytest.raises(fg.InputError, match=r"was recorded for shape \(3,\); it would get shape \((3, 3|6,)\)"):
            tape.replace_node("scaled", other)
    last = tape.insert_after(tape.nodes[-1], lambda y: np.stack([y, y]))
    assert last(X, 2.0).shape == (2,)


def test_a_bypassed_node_is_replaced_by_its_operand() -> None:
    check(layers().bypass("first/hidden"), lambda x, w1, w2: np.sum((w2 @ (w1 @ x)) ** 2), X, W1, W2)


def test_what_has_no_operand_of_its_shape_cannot_be_left_out() -> None:
    with pytest.raises(fg.InputError, match=r"'second' cannot be left out: its result has shape \(2,\), it works on"):
        layers().bypass("second")
    with pytest.raises(fg.InputError, match="several of these could take its place"):
        fg.record(lambda x, y: fg.name(x + y, "sum") * 2.0, 1.0, 2.0).bypass("sum")
    tape = fg.record(lambda x, y: fg.name(x + y, "sum") * 2.0, 1.0, 2.0).bypass("sum", operand=1)
    assert (tape.input_names, tape(5.0)) == (("y",), 10.0)


def test_the_parts_of_a_cut_tape_joined_are_the_tape() -> None:
    tape = layers()
    front, back = tape.cut("first/hidden")
    assert (front.input_names, front.output_names) == (("x", "w1"), ("first/hidden",))
    assert back.input_names == ("first/hidden", "w2")
    joined = front >> back
    assert joined.input_names == ("x", "w1", "w2")
    check(joined, two_layers, X, W1, W2)
    assert joined == tape


def test_a_cut_must_separate() -> None:
    tape = fg.record(lambda x: fg.name(np.sin(x), "sine") * fg.name(np.cos(np.sin(x)), "cosine"), 1.0)
    shared = fg.record(lambda x: (lambda s: fg.name(np.exp(s), "e") + s)(fg.name(np.sin(x), "s")), 1.0)
    with pytest.raises(fg.InputError, match=r"'s' \(sin.*is used on both sides. Cut at it, too: cut\(..., 's'\)"):
        shared.cut("e")
    front, back = shared.cut("e", "s")
    assert front >> back == shared
    front, back = tape.cut("cosine")  # the input is on both sides
    assert back.input_names == ("cosine", "x")


def test_guards_stay_on_the_side_of_their_node() -> None:
    def program(x: Any) -> Any:
        y = fg.name(np.sin(x) if x > 0 else x, "y")
        return np.exp(y) if y < 2 else y

    tape = fg.record(program, 1.0)
    front, back = tape.cut("y")
    assert (len(front.guard_nodes), len(back.guard_nodes)) == (1, 1)
    assert (front >> back)(0.5) == tape(0.5)
    with pytest.raises(fg.InputError, match="another way"):
        front(-1.0)


def test_a_grafted_head_takes_over_from_a_place() -> None:
    edited = layers().graft(
        "first/hidden", lambda h, v: {"score": v @ h, "size": np.sum(h**2)}, inputs={"v": np.ones(4)}
    )
    assert edited.input_names == ("x", "w1", "v")
    assert edited.output_names == ("score", "size")
    hidden = np.tanh(W1 @ X)
    assert_allclose(edited(X, W1, np.arange(4.0)), (np.arange(4.0) @ hidden, np.sum(hidden**2)), rtol=1e-14)


def test_shared_inputs_are_one_and_untied_ones_are_many() -> None:
    def program(x: Any, a: Any, b: Any) -> Any:
        return np.sum(np.tanh(b @ np.tanh(a @ x)) ** 2)

    a, b = RANDOM.normal(size=(3, 3)), RANDOM.normal(size=(3, 3))
    tape = fg.record(program, X, a, b)
    shared = tape.share("b", "a")
    check(shared, lambda x, b: program(x, b, b), X, b)
    untied = shared.untie("b")
    assert untied.input_names == ("x", "b", "b_2")
    check(untied, program, X, a, b)
    with pytest.raises(fg.InputError, match=r"'x' has shape \(3,\) and 'a' has \(3, 3\)"):
        tape.share("x", "a")
    with pytest.raises(fg.InputError, match="input 'a' has 1 use; there is nothing to untie"):
        tape.untie("a")


def test_frozen_inputs_are_constants_and_can_be_thawed() -> None:
    tape = layers()
    weights = W1.copy()
    frozen = tape.freeze(w1=weights)
    weights[:] = 0
    assert frozen.input_names == ("x", "w2")
    check(frozen, lambda x, w2: two_layers(x, W1, w2), X, W2)
    assert_array_equal(frozen["w1"].attribute, W1)
    thawed = frozen.constants_to_inputs("w1")
    assert thawed.input_names == ("x", "w2", "w1")
    check(thawed, lambda x, w2, w1: two_layers(x, w1, w2), X, W2, W1)
    assert frozen.constants_to_inputs() == thawed
    with pytest.raises(fg.InputError, match=r"input 'w1' has shape \(4, 3\); the value given for it has \(3,\)"):
        tape.freeze(w1=X)


def test_tapped_values_are_further_outputs() -> None:
    tapped = layers().tap("first/hidden", "second/out").validate()
    _, hidden, out = tapped(X, W1, W2)
    assert_allclose(hidden, np.tanh(W1 @ X))
    assert_allclose(out, W2 @ hidden)
    assert tapped.output_names[1:] == ("first/hidden", "second/out")
    with pytest.raises(fg.InputError, match="has an output 'first/hidden' already"):
        tapped.tap("first/hidden")


def test_selected_outputs_leave_the_others_out() -> None:
    tape = fg.record(lambda x: {"a": np.sin(x), "b": np.cos(x)}, 1.0)
    assert tape.select("b")(0.5) == np.cos(0.5)
    assert [node.operation for node in tape.select("b").nodes] == ["input", "cos"]
    with pytest.raises(fg.InputError, match="no output 'c'; it has 'a', 'b'"):
        tape.select("c")


def test_names_change_with_their_groups() -> None:
    renamed = layers().rename({"first": "encoder", "w1": "encoder/kernel", "second/out": "scores"})
    assert set(renamed.groups) == {"encoder", "second"}
    assert {"encoder/hidden", "encoder/product", "scores"} == set(renamed.node_names)
    assert renamed.input_names == ("x", "encoder/kernel", "w2")
    assert renamed == layers()
    with pytest.raises(fg.InputError, match="two of the tape's inputs would be 'x'"):
        layers().rename({"w1": "x"})
    with pytest.raises(fg.InputError, match="no node named 'thrid'"):
        layers().rename({"thrid": "third"})


def test_nodes_change_their_group() -> None:
    edited = layers().regroup(["first/hidden", "second"], "all/of/it").validate()
    assert edited["first/hidden"].group == edited["second/out"].group == "all/of/it"


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda t: t.insert_after("nowhere", np.sin), "no node named 'nowhere'"),
        (lambda t: t.insert_after("first/hidden", lambda h: (h, h)), "must have one output; this has 2"),
        (lambda t: t.insert_after("first/hidden", 3.0), "a tape or a function of arrays is needed, not float"),
        (
            lambda t: t.insert_after("first/hidden", fg.record(np.sin, np.ones(3))),
            r"'first/hidden' .* has shape \(4,\); input '\w+' of what is put in takes shape \(3,\)",
        ),
        (lambda t: t.insert_after("first/hidden", lambda h: h if h[0] > 0 else -h), "decides by its values"),
        (lambda t: t.replace_node("x", np.sin), "works on nothing"),
        (lambda t: t.cut(), "say where the tape is cut"),
    ],
)
def test_edits_that_cannot_be_are_refused(edit: Any, message: str) -> None:
    with pytest.raises(fg.InputError, match=message):
        edit(layers())


def test_further_inputs_of_what_is_put_in_become_inputs_of_the_tape() -> None:
    tape = fg.record(lambda x: fg.name(np.sin(x), "s") * fg.name(np.cos(x), "c"), 1.0)
    two = fg.record(lambda a, b: a + b, 1.0, 1.0)
    edited = tape.insert_after("s", two)
    assert edited.input_names == ("x", "b")
    check(edited, lambda x, b: (np.sin(x) + b) * np.cos(x), 0.4, 2.0)


def test_the_tape_itself_never_changes() -> None:
    tape = layers()
    before = (tape.hash, tape.listing(), tape.input_names)
    tape.insert_after("first", np.sin)
    tape.share("x")
    tape.freeze(w1=W1)
    tape.replace_node("first/hidden", np.sin)
    tape.cut("first")
    assert (tape.hash, tape.listing(), tape.input_names) == before


def test_what_is_left_out_keeps_no_name_from_what_takes_its_place() -> None:
    def other(hidden: Any) -> Any:
        with fg.group("second"):
            return fg.name(2.0 * hidden[:2], "out")

    edited = layers().replace_node("second", other).validate()
    assert edited.node_names == ("first/product", "first/hidden", "second/out")
    assert edited["second/out"].operation == "multiply"


def test_decisions_inside_a_group_go_with_it() -> None:
    def program(x: Any) -> Any:
        with fg.group("inner"):
            y = np.sin(x)
            y = y * 2.0 if y > 0.0 else y
        return y + 1.0 if y < 5.0 else y

    tape = fg.record(program, 1.0)
    assert len(tape.guard_nodes) == 2
    replaced = tape.replace_node("inner", lambda x: 3.0 * x).validate()
    check(replaced, lambda x: 3.0 * x + 1.0, -1.0)
    bypassed = tape.bypass("inner").validate()
    check(bypassed, lambda x: x + 1.0, -1.0)
    with pytest.raises(fg.InputError, match="another way"):
        replaced(2.0)


def test_parts_that_use_the_same_input_are_joined_with_one() -> None:
    tape = fg.record(lambda x, w: w * fg.name(np.sin(w * x), "s") * x, 0.3, 0.4)
    front, back = tape.cut("s")
    assert (front.input_names, back.input_names) == (("x", "w"), ("s", "x", "w"))
    assert fg.compose(back, front, share=True) == tape
    assert (front >> back).input_names == ("x", "w", "x_2", "w_2")


def test_cuts_at_inputs_outputs_and_constants() -> None:
    tape = fg.record(lambda x: fg.name(np.sin(x), "s") * 2.0, 0.3)
    for place in ("x", "s", len(tape) - 1):
        front, back = tape.cut(place)
        assert front.validate() >> back.validate() == tape
    constant = next(node.number for node in tape if node.operation == "constant")
    front, back = tape.cut(constant)
    assert (front(), back(2.0, 0.3)) == (2.0, tape(0.3))


def test_what_is_made_of_constants_may_be_on_both_sides() -> None:
    table = np.arange(3.0)
    tape = fg.record(lambda x: (lambda t: fg.name(np.sin(x * t), "s") + t)(np.exp(fg.record(np.cos, table)(table))), X)
    front, back = tape.cut("s")
    assert_array_equal((front >> back)(X), tape(X))


def test_groups_that_get_the_same_name_are_one() -> None:
    renamed = layers().rename({"first": "both", "second": "both"}).validate()
    assert renamed.groups == ("both",)
    assert {node.group for node in renamed if node.group} == {"both"}
    with pytest.raises(fg.InputError, match="parts of a path between slashes, not 'a//b'"):
        layers().regroup(["first"], "a//b")


def test_tapes_without_names_have_default_names_for_edits() -> None:
    tape = layers()
    bare = replace(
        tape,
        input_names=(),
        output_names=(),
        named_nodes=np.zeros(0, np.uint32),
        node_names=(),
        groups=(),
        group_indices=np.zeros(0, np.int32),
    ).validate()
    hidden = tape["first/hidden"].number
    check(bare.insert_after(hidden, np.sin), lambda *args: tape.insert_after(hidden, np.sin)(*args), X, W1, W2)
    frozen = bare.freeze(input1=W1)
    assert frozen.input_names == ("input0", "input2")
    assert frozen == tape.freeze(w1=W1)
    front, back = bare.cut(hidden)
    assert front >> back == tape
    with pytest.raises(fg.InputError, match="no node named 'w1'"):
        bare.freeze(w1=W1)


def test_outputs_that_are_inputs_or_the_same_value() -> None:
    tape = fg.record(lambda x, y: (x, x, np.sin(x), y), 0.3, 0.4)
    assert tape.insert_after("x", np.exp).validate()(1.0, 2.0) == (np.e, np.e, np.sin(np.e), 2.0)
    assert tape.freeze(x=2.0).validate()(5.0) == (2.0, 2.0, np.sin(2.0), 5.0)
    assert tape.share("y", "x").validate()(2.0) == (2.0, 2.0, np.sin(2.0), 2.0)
    assert tape.select(3, 0, 0).validate()(1.0, 2.0) == (2.0, 1.0, 1.0)
    front, back = tape.cut("x")
    assert fg.compose(back, front).validate()(1.0, 2.0) == tape(1.0, 2.0)


@pytest.mark.parametrize("shape", [(), (0,), (0, 3), (1,)])
def test_values_without_elements_and_without_axes(shape: tuple[int, ...]) -> None:
    x = np.ones(shape)
    tape = fg.record(lambda x: fg.name(np.sin(x), "s") * 2.0, x)
    assert_array_equal(tape.insert_after("s", np.cos).validate()(x), np.cos(np.sin(x)) * 2.0)
    assert_array_equal(tape.replace_node("s", np.cos).validate()(x), np.cos(x) * 2.0)
    assert_array_equal(tape.freeze(x=x).validate()(), np.sin(x) * 2.0)
    front, back = tape.cut("s")
    assert_array_equal((front >> back)(x), np.sin(x) * 2.0)


def test_captured_data_is_read_when_an_edited_tape_runs() -> None:
    data = np.array([1.0, 2.0, 3.0])
    tape = fg.record(lambda x: fg.name(np.sin(x), "s") * data, X)
    edited = tape.insert_after("s", lambda s: s + data)
    joined = tape >> tape
    data[:] = 10.0
    assert_allclose(edited(X), (np.sin(X) + 10.0) * 10.0)
    assert_allclose(joined(X), np.sin(np.sin(X) * 10.0) * 10.0)


def test_many_users_are_untied_in_order() -> None:
    tape = fg.record(lambda w, x: sum(w * x**k for k in range(1, 40)), 0.5, 0.9)
    untied = tape.untie("w").validate()
    assert untied.input_names == ("w", *(f"w_{k}" for k in range(2, 40)), "x")
    weights = np.arange(39.0)
    assert_allclose(untied(*weights, 0.9), sum(w * 0.9**k for k, w in enumerate(weights, 1)))


def test_values_that_are_no_arrays_of_numbers_are_refused() -> None:
    for wrong in ("a", 1j, None, object(), ["a", "b"]):
        with pytest.raises(fg.InputError, match="input 'w1' takes an array of numbers"):
            layers().freeze(w1=wrong)
    with pytest.raises(fg.InputError, match="what is grafted takes no input"):
        layers().graft("first", fg.record(lambda: 3.0))


def test_untied_inputs_leave_the_names_of_others_alone() -> None:
    untied = fg.record(lambda w, w_2: np.sin(w) + np.cos(w) * w_2, 1.0, 1.0).untie("w").validate()
    assert untied.input_names == ("w", "w_3", "w_2")
    assert_allclose(untied(0.3, w_2=2.0, w_3=0.4), np.sin(0.3) + np.cos(0.4) * 2.0)


def test_the_first_input_is_what_a_group_of_inputs_alone_works_on() -> None:
    def program(x: Any, w: Any) -> Any:
        with fg.group("dense"):
            hidden = np.tanh(w * x)
        return hidden + 1.0

    tape = fg.record(program, 0.3, 0.4)
    assert tape.bypass("dense").input_names == tape.replace_node("dense", np.exp).input_names == ("x",)
    check(tape.bypass("dense"), lambda x: x + 1.0, 0.3)
    check(tape.replace_node("dense", np.exp), lambda x: np.exp(x) + 1.0, 0.3)


def test_constants_of_a_group_may_be_used_outside_it() -> None:
    data = np.array([1.0, 2.0, 3.0])

    def program(x: Any) -> Any:
        with fg.group("inner"):
            y = np.sin(x * data + 3.0)
        return np.sum(y * data + 3.0)

    check(fg.record(program, X).bypass("inner"), lambda x: np.sum(x * data + 3.0), X)


def test_an_operand_of_a_group_of_one_node_is_that_of_the_group() -> None:
    def program(x: Any, w: Any) -> Any:
        hidden = np.sin(x)
        with fg.group("scaled"):
            return w * hidden

    edited = fg.record(program, 0.3, 0.4).insert_before("scaled", lambda h: h + 1.0, operand=0)
    check(edited, lambda x, w: w * (np.sin(x) + 1.0), 0.3, 0.4)


def test_decisions_by_a_value_are_taken_by_what_is_made_of_it() -> None:
    def program(x: Any) -> Any:
        return x * 2.0 if fg.name(x > 0.0, "positive") else x * 3.0

    turned = fg.record(program, 1.0).insert_after("positive", lambda c: 1.0 - c).validate()
    assert turned(-1.0) == -2.0
    with pytest.raises(fg.InputError, match="another way"):
        turned(1.0)
    with pytest.raises(fg.InputError, match=r"it would get shape \(3,\)"):
        fg.record(program, 1.0).insert_after("positive", lambda c: c * X)


def test_groups_with_several_results_change_their_path() -> None:
    def program(x: Any) -> Any:
        with fg.group("both"):
            return np.sin(x) + 1.0, np.cos(x)

    moved = fg.record(program, 0.3).regroup(["both"], "waves").validate()
    assert {node.group for node in moved if node.operation != "input"} == {"waves"}
    assert fg.record(program, 0.3).regroup(["both"], "").groups == ("both",)


def test_inputs_behind_a_cut_keep_their_names() -> None:
    tape = fg.record(lambda x, h: fg.name(np.sin(x), "h") + h, 0.3, 0.4)
    front, back = tape.cut(2)
    assert (front.output_names, back.input_names) == (("h_2",), ("h_2", "h"))
    assert (front >> back).input_names == ("x", "h")
