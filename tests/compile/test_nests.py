"""jit takes and returns nests of every kind, compiled, and sees what it reads of them."""

import collections
import copy
import dataclasses
import typing
import warnings

import numpy as np
import pytest

import tapegrad as tg

X = np.array([0.5, -1.0, 2.0])
SCALE = np.array([2.0, 3.0, 4.0])
RATE = 0.5


@dataclasses.dataclass
class Params:
    w: typing.Any
    b: typing.Any = 1.0
    name: str = dataclasses.field(default="sum", metadata={"static": True})

    def loss(self):
        return np.sum(self.w * SCALE * self.b) * RATE

    def total(self):
        return np.sum(self.w) if self.name == "sum" else np.mean(self.w)


@dataclasses.dataclass(frozen=True, slots=True)
class Frozen:
    x: typing.Any
    y: typing.Any = None


class Point(typing.NamedTuple):
    x: typing.Any
    y: typing.Any

    def scaled(self):
        return self.x * SCALE * RATE


class Model:
    def __init__(self, weights, activation):
        self.weights, self.activation = weights, activation

    def __call__(self, x):
        return self.activation(self.weights * x)


tg.register_pytree_node(
    Model, lambda m: ((m.weights,), m.activation), lambda f, parts: Model(*parts, f)
)


def agrees(function, *calls, traces=1):
    """jit gives what the function gives at each call, compiled."""
    jitted = tg.jit(function, strict=True)
    for _ in range(3):
        for args in calls:
            theirs, ours = copy.deepcopy(args), copy.deepcopy(args)
            wanted, got = function(*theirs), jitted(*ours)
            assert tg.tree_structure(got) == tg.tree_structure(wanted)
            for a, b in zip(tg.tree_leaves((got, ours)), tg.tree_leaves((wanted, theirs))):
                np.testing.assert_allclose(a, b)
                assert type(a) is type(b)
    stats = jitted.stats()
    assert stats.traces == traces and stats.eager_calls == 0
    return jitted


MAKERS = {
    "dataclass": lambda x: Params(x, 2.0),
    "frozen": lambda x: Frozen(x, (x, None)),
    "ordered": lambda x: collections.OrderedDict(a=x, b=3.0),
    "default": lambda x: collections.defaultdict(list, a=x, b=3.0),
    "named": lambda x: Point(x, [2.0]),
    "registered": lambda x: Model(x, "constant"),
    "keys": lambda x: {1: x, (2, "a"): 2.0},
    "nested": lambda x: {"layers": [Params(x, Frozen(x * 2))], "n": 3},
}


@pytest.mark.parametrize("kind", MAKERS)
def test_every_kind_goes_in_and_out(kind):
    make = MAKERS[kind]
    agrees(lambda tree: tg.tree_map(lambda a: a * 2.0, tree), (make(X),), (make(2 * X),))
    agrees(lambda x: make(np.sin(x)), (X,), (2 * X,))
    agrees(tg.grad(lambda t: np.sum(tg.tree_leaves(t)[0] ** 2)), (MAKERS["dataclass"](X),))


def test_keys_that_compare_equal_are_other_signatures():
    jitted = tg.jit(lambda d: {k: v * 2 for k, v in d.items()}, strict=True)
    for key in (1, True, 1.0, 1, True):
        got = jitted({key: X})
        assert [type(k) for k in got] == [type(key)]
        np.testing.assert_array_equal(got[key], 2 * X)
    assert jitted.stats().traces == 3


def test_static_fields_and_constants_are_part_of_the_signature():
    jitted = agrees(lambda p: p.total(), (Params(X),), (Params(X, name="mean"),), traces=2)
    assert jitted(Params(X, name="mean")) == np.mean(X)
    agrees(lambda m: m(X), (Model(X, np.sin),), (Model(X, np.cos),), traces=2)
    agrees(lambda m: m(X), (Model(X, tg.grad(np.sum)),))
    agrees(lambda m, x: m(x), (Model(X, lambda x: x * SCALE), X))


def test_what_methods_of_an_argument_s_class_read_is_seen(monkeypatch):
    for make, f in (
        (lambda: Params(X), lambda p: p.loss()),
        (lambda: Point(X, 1.0), lambda p: p.scaled()),
        (lambda: Model(X, lambda x: x * SCALE * RATE), lambda m: m(X)),
    ):
        jitted, argument = tg.jit(f), make()
        for k in range(3):
            monkeypatch.setattr(f"{__name__}.SCALE", X * (k + 1))
            monkeypatch.setattr(f"{__name__}.RATE", k + 0.5)
            for _ in range(3):
                np.testing.assert_allclose(jitted(argument), f(argument))
            SCALE[0] += 1.0
            np.testing.assert_allclose(jitted(argument), f(argument))


def test_a_method_that_is_replaced_is_another_one(monkeypatch):
    jitted = tg.jit(lambda p: p.total())
    assert jitted(Params(X)) == jitted(Params(X)) == 1.5
    monkeypatch.setattr(Params, "total", lambda self: np.sum(self.w) * 10)
    assert jitted(Params(X)) == 15.0


def test_functions_of_an_argument_that_change_what_they_read_are_followed():
    factor = [2.0]
    model = Model(X, lambda x: x * factor[0])
    jitted = tg.jit(lambda m: m(X))
    for value in (2.0, 3.0, 2.0):
        factor[0] = value
        for _ in range(2):
            np.testing.assert_array_equal(jitted(model), X * X * value)


def test_classes_that_are_made_at_each_call_do_not_pile_up(monkeypatch):
    monkeypatch.setattr("tapegrad.compile.jitted.jit.MOST_SIGNATURES", 4)
    jitted = tg.jit(lambda p: p.x * 2)
    for k in range(12):
        made = dataclasses.make_dataclass("Made", ["x"])(X * k)
        np.testing.assert_array_equal(jitted(made), X * k * 2)
    assert len(jitted._signatures) == 4


def test_an_instance_that_holds_more_than_its_fields_is_read_as_any_object():
    def f(p):
        return np.sum(p.w) * p.extra

    p = Params(X)
    p.extra = 2.0
    jitted = tg.jit(f)
    for extra in (2.0, 3.0, 4.0):
        p.extra = extra
        assert jitted(p) == f(p)
    assert jitted.stats().traces == 2
    assert jitted.stats().eager_calls == 0
    with pytest.warns(RuntimeWarning, match="returns an object of type Params"):
        jitted = tg.jit(lambda x: with_extra(Params(x * 2)))
        for _ in range(3):
            assert jitted(X).extra == 5.0


def with_extra(p):
    p.extra = 5.0
    return p


def test_the_fast_way_sees_every_change_of_an_instance():
    def f(p):
        return np.sum(p.w * p.b)

    @dataclasses.dataclass
    class Plain:
        w: typing.Any
        b: typing.Any = 1.0

    class Derived(Plain):
        b = 3.0

    jitted = tg.jit(f)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for k in range(5):
            for p in (Plain(X * k, 2.0), Plain(X * k, 2), Derived(X * k), Plain(X[:2] * k)):
                np.testing.assert_allclose(jitted(p), f(p))
        p = Plain(X, 2.0)
        changes = [
            lambda: setattr(p, "w", 2 * X),
            lambda: setattr(p, "w", X[::-1]),
            lambda: setattr(p, "extra", 5.0),
            lambda: delattr(p, "extra"),
            lambda: delattr(p, "b"),
            lambda: setattr(p, "__class__", Derived),
            lambda: setattr(p, "b", X),
        ]
        for change in changes:
            change()
            for _ in range(3):
                np.testing.assert_allclose(jitted(p), f(p))


def test_a_property_in_a_field_s_place_is_asked():
    class Shown(Params):
        w = property(lambda self: self.__dict__["w"] * 10.0)

        def __init__(self, w):
            self.__dict__.update(w=w, b=1.0)

    jitted = tg.jit(lambda p: np.sum(p.w * p.b))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for k in range(4):
            np.testing.assert_allclose(jitted(Shown(X * k)), np.sum(X * k) * 10.0)


def test_a_default_made_in_the_function_runs_as_it_is():
    def f(x):
        return collections.defaultdict(lambda: x, a=x)

    jitted = tg.jit(f)
    with pytest.warns(RuntimeWarning, match="returns an object of type defaultdict"):
        for k in range(3):
            np.testing.assert_array_equal(jitted(X * k)["new"], X * k)


def test_a_function_that_changes_an_instance_changes_the_caller_s_at_each_call():
    def f(p, d):
        p.w = p.w * 2.0
        p.b = {"deep": p.w[0]}
        del p.name
        d["new"] = p.w
        d.move_to_end("a")
        return np.sum(p.w)

    jitted = tg.jit(f)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ours, theirs = Params(X), Params(X)
        a, b = collections.OrderedDict(a=1.0), collections.OrderedDict(a=1.0)
        for _ in range(3):
            assert jitted(ours, a) == f(theirs, b)
            np.testing.assert_array_equal(ours.w, theirs.w)
            assert ours.b == theirs.b and vars(ours).keys() == vars(theirs).keys()
            assert list(a) == list(b) and type(a["new"]) is np.ndarray
            ours.name = theirs.name = "again"


def test_an_array_of_an_instance_is_written_in_place_at_each_call():
    def step(p, g):
        p.w -= 0.1 * g.w
        return np.sum(p.w)

    ours, theirs, g = Params(X.copy()), Params(X.copy()), Params(np.ones(3))
    array = ours.w
    jitted = tg.jit(step)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(4):
            np.testing.assert_allclose(jitted(ours, g), step(theirs, g))
            np.testing.assert_allclose(ours.w, theirs.w)
            assert ours.w is array


def test_an_argument_that_is_also_read_from_outside_runs_as_it_is():
    def f(p):
        p.w = p.w + 1.0
        return np.sum(SHARED.w)

    jitted = tg.jit(f)
    with pytest.warns(RuntimeWarning, match="it changes a list, a dict"):
        got = [jitted(SHARED) for _ in range(3)]
    SHARED.w = X
    assert got == [f(SHARED) for _ in range(3)]
    SHARED.w = X


SHARED = Params(X)


def test_derivatives_of_jitted_functions_of_instances():
    loss = lambda p: np.sum(p.w**2 * p.b)
    for f in (tg.grad(tg.jit(loss)), tg.jit(tg.grad(tg.jit(loss)))):
        for _ in range(3):
            g = f(Params(X, 2.0))
            assert type(g) is Params and g.name == "sum"
            np.testing.assert_allclose(g.w, 4 * X)
            np.testing.assert_allclose(g.b, np.sum(X**2))
    batch = Params(np.stack([X, 2 * X]), np.ones(2))
    np.testing.assert_allclose(tg.vmap(tg.jit(loss))(batch), [np.sum(X**2), 4 * np.sum(X**2)])


@pytest.mark.parametrize("instance", [Params(X, 2.0), Point(X, {"a": Frozen(X)})], ids=repr)
@pytest.mark.parametrize("transform", [tg.grad, tg.value_and_grad])
def test_derivatives_by_instances_are_compiled(transform, instance):
    def f(p):
        y = p.w * p.b if isinstance(p, Params) else p.x * p.y["a"].x
        return np.sum(np.sin(y) * SCALE) * RATE

    agrees(transform(f), (instance,), (tg.tree_map(lambda a: a * 2.0, instance),))
    tangent = tg.tree_map(np.ones_like, instance)
    agrees(lambda p, t: tg.jvp(f, (p,), (t,)), (instance, tangent))


def test_a_named_tuple_from_outside_is_read_once_for_all():
    tangent, seen = Point(X.copy(), {"a": Frozen(np.ones(3))}), []
    jitted = tg.jit(lambda p: tg.jvp(lambda p: np.sum(p.x * p.y["a"].x), (p,), (tangent,)))
    for _ in range(4):
        seen.append(jitted(Point(X, {"a": Frozen(X)})))
    np.testing.assert_allclose(seen, [(X @ X, X @ X + X.sum())] * 4)
    assert jitted.stats().traces == 1 and jitted.stats().eager_calls == 0
    tangent.x[:] = 0.0  # read anew at each call
    np.testing.assert_allclose(jitted(Point(X + 1, {"a": Frozen(X)}))[1], np.sum(X + 1))
    tangent = Point(np.ones(3), {"a": Frozen(np.zeros(3))})
    np.testing.assert_allclose(jitted(Point(X, {"a": Frozen(X)}))[1], np.sum(X))


def test_what_else_a_differentiated_function_of_instances_reads_is_seen(monkeypatch):
    outside = Params(X, 2.0)

    def f(p):
        return np.sum(p.w * outside.w) * outside.b * RATE

    jitted = tg.jit(tg.grad(f))
    for rate, b in ((0.5, 2.0), (0.25, 2.0), (0.25, 3.0), (1.0, 4.0)):
        monkeypatch.setitem(globals(), "RATE", rate)
        outside.b = b
        np.testing.assert_allclose(jitted(Params(X)).w, X * b * rate)
    assert jitted.stats().eager_calls == 0


def test_jitted_methods_of_an_instance_do_not_make_it_a_leaf():
    @dataclasses.dataclass
    class Layer:
        w: typing.Any

        @tg.jit
        def __call__(self, x):
            return np.sum(self.w * x)

    layer = Layer(X)
    for _ in range(3):
        layer(X)
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # the method of the instance that grad makes is not compiled
        np.testing.assert_allclose(tg.grad(lambda layer: layer(X))(layer).w, X)


def test_explain_takes_instances():
    text = tg.jit(lambda p: np.sum(np.sin(p.w) * p.b)).explain(Params(X, 2.0))
    assert "kernel" in text and "without compiling" not in text
