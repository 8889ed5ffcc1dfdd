"""Nests: what they are made of, how they are rebuilt, and where two of them differ."""

import collections
import copy
import dataclasses
import enum
import functools
import pickle

import nests
import numpy as np
import pytest
from hypothesis import given
from nests import Attributes, Frozen, Model, Pair, Params, trees

import tapegrad as tg
from tapegrad.tape.core import pytree


@given(trees())
def test_a_nest_is_what_its_leaves_and_its_structure_make(tree):
    leaves, structure = tg.tree_flatten(tree)
    assert structure.num_leaves == len(leaves)
    again = tg.tree_unflatten(structure, leaves)
    assert type(again) is type(tree)
    others, same = tg.tree_flatten(again)
    assert same == structure and hash(same) == hash(structure)
    assert all(a is b for a, b in zip(others, leaves))
    assert pickle.loads(pickle.dumps(structure)) == structure


@given(trees(), trees())
def test_nests_of_equal_structures_are_alike_and_others_cannot_be_mapped_together(one, two):
    equal = tg.tree_structure(one) == tg.tree_structure(two)
    try:
        tg.tree_map(lambda a, b: None, one, two)
    except ValueError as error:
        assert not equal and "the structure should be" in str(error)


def test_dicts_keep_the_order_of_their_keys():
    tree = {"b": 1.0, "a": 2.0}
    assert tg.tree_leaves(tree) == [1.0, 2.0]
    assert list(tg.tree_map(lambda x: x, tree)) == ["b", "a"]
    assert tg.tree_map(lambda x, y: x + y, tree, {"a": 20.0, "b": 10.0}) == {"b": 11.0, "a": 22.0}


@pytest.mark.parametrize(
    "one, two",
    [
        ({1: 0.0}, {True: 0.0}),
        ({1: 0.0}, {1.0: 0.0}),
        ({0.0: 0.0}, {-0.0: 0.0}),
        ({(1, "a"): 0.0}, {(True, "a"): 0.0}),
        ({frozenset({1}): 0.0}, {frozenset({True}): 0.0}),
        ([0.0], (0.0,)),
        ({"a": 0.0}, collections.OrderedDict(a=0.0)),
        ({"a": 0.0}, collections.defaultdict(list, a=0.0)),
        (collections.defaultdict(list, a=0.0), collections.defaultdict(dict, a=0.0)),
        (Pair(0.0, 0.0), (0.0, 0.0)),
        (Pair(0.0, 0.0), Frozen(0.0, 0.0)),
        (Frozen(0.0, None), Frozen(0.0, 0.0)),
        (Params(0.0, 0.0, "one"), Params(0.0, 0.0, "two")),
        (Model([0.0], "tanh"), Model([0.0], "relu")),
        (Model([0.0], 1), Model([0.0], True)),
        (Model([0.0], "tanh"), Model([0.0, 0.0], "tanh")),
        ([], ()),
        ([], None),
        ({}, []),
        ([None], [[]]),
        ({"a": 0.0, "b": 0.0}, {"b": 0.0, "a": 0.0}),
    ],
)
def test_structures_of_different_nests_are_different(one, two):
    first, second = tg.tree_structure(one), tg.tree_structure(two)
    assert first != second and first == copy.copy(first)
    assert len({first, second, tg.tree_structure(copy.deepcopy(one))}) == 2


def test_structures_print_as_nests():
    tree = {"w": [1.0, (2.0,)], "p": Pair(1.0, None), "d": Params(0.0, {}), 3: ()}
    text = "{'w': [*, (*,)], 'p': Pair(a=*, b=None), 'd': Params(w=*, b={}), 3: ()}"
    assert repr(tg.tree_structure(tree)) == f"TreeStructure({text})"
    ordered = collections.OrderedDict(a=Model([1.0, 2.0], "tanh"))
    assert repr(tg.tree_structure(ordered)) == "TreeStructure(OrderedDict({'a': Model(*, *)}))"


# Kinds ---------------------------------------------------------------------------------------


def test_a_defaultdict_keeps_kind_and_default():
    tree = collections.defaultdict(list, a=1.0)
    new = tg.tree_map(lambda x: x * 2, tree)
    assert type(new) is collections.defaultdict and new == {"a": 2.0} and new["new"] == []


def test_an_ordered_dict_keeps_its_order_after_moves():
    tree = collections.OrderedDict(a=1.0, b=2.0)
    tree.move_to_end("a")
    new = tg.tree_map(lambda x: x * 2, tree)
    assert list(new.items()) == [("b", 4.0), ("a", 2.0)]
    new.move_to_end("b")
    assert list(new) == ["a", "b"]


def test_a_dict_whose_items_are_attributes_is_rebuilt_as_one():
    new = tg.tree_map(lambda x: x * 2, Attributes(w=1.0))
    assert type(new) is Attributes and new.w == 2.0
    new.b = 3.0
    assert new["b"] == 3.0


def test_dataclasses_are_rebuilt_without_running_code_of_theirs():
    tree = Params(1.0, [2.0], "mine")
    nests.made.clear()
    new = tg.tree_map(lambda x: x * 2, tree)
    assert new == Params(2.0, [4.0], "mine") and nests.made == ["mine"]
    frozen = tg.tree_map(lambda x: x * 2, Frozen(1.0))
    assert frozen == Frozen(2.0, None)
    with pytest.raises(dataclasses.FrozenInstanceError):
        frozen.x = 1.0


def test_fields_that_are_not_set_stay_so():
    @dataclasses.dataclass
    class Late:
        x: float
        y: float = dataclasses.field(init=False)
        z: float = 3.0

    new = tg.tree_map(lambda v: v * 2, Late(1.0))
    assert vars(new) == {"x": 2.0, "z": 6.0}
    late = Late(1.0)
    late.y = 5.0
    assert vars(tg.tree_map(lambda v: v * 2, late)) == {"x": 2.0, "y": 10.0, "z": 6.0}


def test_inherited_fields_and_slots_are_parts():
    @dataclasses.dataclass
    class Base:
        a: float

    @dataclasses.dataclass(slots=True)
    class Derived(Base):
        b: float

    new = tg.tree_map(lambda v: v * 2, Derived(1.0, 2.0))
    assert new == Derived(2.0, 4.0)


def test_an_instance_that_holds_more_than_its_fields_is_a_leaf_and_the_error_says_why():
    @dataclasses.dataclass
    class More:
        w: float

        def __post_init__(self):
            self.half = self.w / 2

    more = More(1.0)
    assert tg.tree_leaves([more]) == [more]
    with pytest.raises(TypeError, match=r"attributes that are not its fields \('half'\)"):
        tg.grad(lambda m: m.w * m.half)(more)

    class Labelled(dict):
        label = "none"

    tree = Labelled(a=1.0)
    assert tg.tree_leaves(tree) == [1.0]
    tree.label = "mine"
    assert tg.tree_leaves(tree) == [tree]


def test_kept_results_of_properties_are_computed_anew():
    @dataclasses.dataclass
    class Cached:
        w: np.ndarray

        @functools.cached_property
        def norm(self):
            return np.sum(self.w**2)

    cached = Cached(np.array([1.0, 2.0]))
    assert cached.norm == 5.0
    gradient = tg.grad(lambda c: c.norm * 3.0)(cached)
    np.testing.assert_array_equal(gradient.w, [6.0, 12.0])
    assert vars(gradient).keys() == {"w"} and cached.norm == 5.0


def test_what_cannot_be_rebuilt_is_a_leaf():
    @dataclasses.dataclass
    class Shade:
        depth: float

    class Colour(Shade, enum.Enum):
        RED = 1.0

    @dataclasses.dataclass
    class Signal(Exception):
        code: float

    class Sequence(tuple):
        pass

    for leaf in (Colour.RED, Signal(1.0), Sequence((1.0,)), {1.0}, "text", range(3), Params):
        assert tg.tree_leaves(leaf) == [leaf]


def test_attrs_classes_are_nests():
    class Field:
        def __init__(self, name, metadata):
            self.name, self.metadata = name, metadata

    class Point:
        __attrs_attrs__ = (Field("x", {}), Field("unit", {"static": True}))

        def __init__(self, x, unit):
            self.x, self.unit = x, unit

    new = tg.tree_map(lambda v: v * 2, Point(1.0, "m"))
    assert (new.x, new.unit) == (2.0, "m")
    assert tg.tree_structure(Point(1.0, "m")) != tg.tree_structure(Point(1.0, "s"))


def test_registered_classes_are_nests_and_subclasses_are_not_meant():
    class Special(Model):
        pass

    model = Model([1.0, 2.0], "tanh")
    new = tg.tree_map(lambda v: v * 2, model)
    assert type(new) is Model and new.weights == [2.0, 4.0] and new.activation == "tanh"
    special = Special([1.0], "tanh")
    assert tg.tree_leaves(special) == [special]


def test_a_class_can_be_registered_after_it_was_used_but_only_once():
    class Later:
        def __init__(self, x):
            self.x = x

    later = Later(3.0)
    assert tg.tree_leaves(later) == [later]
    tg.register_pytree_node(Later, lambda v: ((v.x,), None), lambda _, parts: Later(*parts))
    assert tg.tree_leaves(later) == [3.0]
    with pytest.raises(ValueError, match="Later has been registered already"):
        tg.register_pytree_node(Later, lambda v: ((), None), lambda _, parts: None)


def test_wrong_registrations_are_refused():
    with pytest.raises(TypeError, match="takes a class"):
        tg.register_pytree_node(3, len, len)
    with pytest.raises(TypeError, match="takes functions"):
        tg.register_pytree_node(type("C", (), {}), 3, len)
    for kind in (dict, list, tuple, type(None)):
        with pytest.raises(ValueError, match="a nest by nature"):
            tg.register_pytree_node(kind, len, len)


def test_classes_that_programs_make_and_drop_are_not_kept():
    for i in range(1100):
        cls = dataclasses.make_dataclass(f"C{i}", ["x"])
        assert tg.tree_leaves(cls(1.0)) == [1.0]
    assert len(pytree.kinds) <= 1024


# Functions -----------------------------------------------------------------------------------


def test_is_leaf_is_asked_outermost_first():
    tree = {"a": [1.0, 2.0], "b": (3.0, None)}
    is_pair = lambda part: isinstance(part, list)
    assert tg.tree_leaves(tree, is_pair) == [[1.0, 2.0], 3.0]
    assert tg.tree_leaves(tree, lambda part: part is None) == [1.0, 2.0, 3.0, None]
    assert tg.tree_map(len, tree, is_leaf=lambda p: isinstance(p, list | tuple)) == {"a": 2, "b": 2}
    assert tg.tree_structure(tree, is_pair).num_leaves == 2


def test_other_nests_may_be_deeper_in_tree_map():
    moments = {"w": (0.5, 0.25), "b": [1.0]}
    out = tg.tree_map(lambda p, m: (p, m), {"w": 1.0, "b": 2.0}, moments)
    assert out == {"w": (1.0, (0.5, 0.25)), "b": (2.0, [1.0])}


@pytest.mark.parametrize(
    "one, two, message",
    [
        (
            {"a": [1.0, 2.0]},
            {"a": [1.0]},
            r"at \['a'\], the structure should be \[\*, \*\], and is",
        ),
        ({"a": 1.0}, {"b": 1.0}, r"should be \{'a': \*\}, and is \{'b': \*\}"),
        (
            Pair(1.0, (2.0,)),
            Pair(1.0, [2.0]),
            r"at \.b, the structure should be \(\*,\), and is \[\*\]",
        ),
        (Params([1.0], 2.0), Params(1.0, 2.0), r"at \.w, .* and is a leaf \(an array or number\)"),
        ([None], [1.0], r"at \[0\], the structure should be None, and is a leaf"),
        ([[1.0]], None, r"should be \[\*\], and is None"),
    ],
)
def test_errors_say_where_nests_differ(one, two, message):
    with pytest.raises(ValueError, match=message):
        tg.tree_map(lambda a, b: a, one, two)


def test_wrong_leaves_and_structures_are_refused():
    structure = tg.tree_structure([1.0, (2.0, 3.0)])
    for leaves in ([1.0], [1.0] * 4):
        with pytest.raises(ValueError, match="has 3 leaves"):
            tg.tree_unflatten(structure, leaves)
    with pytest.raises(TypeError, match="takes a structure"):
        tg.tree_unflatten([1.0, 2.0], structure)
    assert structure != "TreeStructure"


# Under transformations -----------------------------------------------------------------------


@pytest.mark.parametrize("kind", sorted(nests.KINDS))
def test_gradients_by_every_kind_have_that_kind(kind):
    x = np.array([1.0, 2.0])
    tree = nests.KINDS[kind]([x, 3.0, np.float32(2.0)])

    def loss(tree):
        array, number, small = tg.tree_leaves(tree)
        return np.sum(array**2) * number * small

    gradient = tg.grad(loss)(tree)
    wanted = nests.KINDS[kind]([12 * x, np.float64(10.0), np.float32(15.0)])
    nests.same(gradient, wanted)
    assert [type(leaf) for leaf in tg.tree_leaves(gradient)] == [np.ndarray, np.float64, np.float32]
    value, pullback = tg.vjp(lambda tree: tg.tree_map(lambda a: a * 2, tree), tree)
    nests.same(value, tg.tree_map(lambda a: a * 2, tree))
    nests.same(pullback(tree)[0], value)
    value, tangent = tg.jvp(lambda tree: tg.tree_map(np.square, tree), (tree,), (tree,))
    nests.same(tangent, tg.tree_map(lambda a: 2 * a * a, tree), 1e-6)


def test_methods_and_static_fields_are_there_inside():
    @dataclasses.dataclass
    class Dense:
        w: np.ndarray
        activation: object = dataclasses.field(default=np.tanh, metadata={"static": True})

        def __call__(self, x):
            return self.activation(self.w @ x)

    x = np.array([0.5, 0.25])
    dense = Dense(np.array([[1.0, 2.0]]))
    gradient = tg.grad(lambda layer: np.sum(layer(x)))(dense)
    np.testing.assert_allclose(gradient.w, (1 - np.tanh(dense.w @ x) ** 2)[:, None] * x)
    assert gradient.activation is np.tanh


def test_objects_among_the_other_arguments_are_what_the_caller_passed():
    seen = []

    def loss(x, params, ordered):
        seen.append((params, ordered))
        params.b = "changed"
        return np.sum(x * params.w)

    params, ordered = Params(np.ones(2), 1.0), collections.OrderedDict(a=np.ones(2))
    np.testing.assert_array_equal(tg.grad(loss)(np.ones(2), params, ordered), [1.0, 1.0])
    assert seen[0][0] is params and seen[0][1] is ordered and params.b == "changed"


def test_the_caller_s_instances_are_not_written_into():
    params = Params(np.ones(2), 1.0)

    def loss(p):
        p.w = p.w * 3.0
        p.w[0] = 5.0 * p.b
        return np.sum(p.w) * p.b

    gradient = tg.grad(loss)(params)
    np.testing.assert_array_equal(gradient.w, [0.0, 3.0])
    assert gradient.b == 13.0
    np.testing.assert_array_equal(params.w, [1.0, 1.0])


def test_auxiliary_results_of_every_kind_come_out_without_traced_values():
    def loss(x):
        return np.sum(x), Params(x * 2, {"n": 3}, "aux")

    _, aux = tg.grad(loss, has_aux=True)(np.ones(2))
    assert type(aux) is Params and type(aux.w) is np.ndarray and aux.b == {"n": 3}
    np.testing.assert_array_equal(aux.w, [2.0, 2.0])


def test_cotangents_may_have_their_keys_in_another_order():
    _, pullback = tg.vjp(lambda x: {"a": x, "b": 2 * x}, 1.0)
    assert pullback({"b": 1.0, "a": 0.0})[0] == 2.0
    with pytest.raises(ValueError, match=r"structure of the function's result: at \['b'\]"):
        pullback({"a": 1.0, "b": [1.0]})
