"""Values read from closures, globals, defaults and attributes, which other tracers bake in."""

import sys
import types
from functools import partial

import numpy as np
import pytest
from compare import V, X, check, close

import tapegrad as tg

HERE = sys.modules[__name__]
scale = 2.0
table = np.array([1.0, 2.0, 3.0])
settings = {"rate": 0.5, "names": ["a", "b"]}


class Config:
    rate = 3.0


def follow(function, *changes, args=(V,), eager=False):
    """Compare after each change; a change is a callable without arguments."""
    jitted = tg.jit(function)
    close(jitted(*args), function(*args))
    for change in (*changes, *changes):
        change()
        for _ in range(3):
            close(jitted(*args), function(*args))
    assert bool(jitted.stats().eager_calls) == eager
    return jitted


@pytest.fixture(autouse=True)
def _restored():
    before = scale, table.copy(), dict(settings)
    yield
    HERE.scale = before[0]
    HERE.table = before[1]
    settings.clear()
    settings.update(before[2])
    Config.rate = 3.0


def test_a_closure_scalar_that_changes_is_read_anew():
    factor = 2.0

    def change(value):
        nonlocal factor
        factor = value

    follow(lambda x: x * factor, lambda: change(3.0), lambda: change(-0.0), lambda: change(0.0))


def test_a_closure_zero_that_changes_its_sign_is_noticed():
    factor = 0.0

    def change(value):
        nonlocal factor
        factor = value

    jitted = tg.jit(lambda x: x / factor)
    with np.errstate(all="ignore"):
        assert jitted(V)[0] == np.inf
        change(-0.0)
        assert jitted(V)[0] == -np.inf


def test_a_global_scalar_that_changes_is_read_anew():
    follow(lambda x: x * scale, lambda: setattr(HERE, "scale", 5.0))


def test_a_global_that_only_a_called_function_reads_is_read_anew():
    def inner(x):
        return x * scale

    follow(lambda x: inner(x) + 1, lambda: setattr(HERE, "scale", 7.0))


def test_a_number_in_a_dict_of_a_list_is_read_anew():
    state = {"all": [1.0, {"deep": 2.0}]}

    def change(value):
        state["all"][1]["deep"] = value

    follow(lambda x: x * state["all"][1]["deep"], lambda: change(3.0), lambda: change(4.0))


def test_a_growing_list_is_read_anew():
    terms = [1.0]
    follow(lambda x: sum(x**t for t in terms), lambda: terms.append(2.0))


def test_a_growing_set_is_read_anew():
    seen = {1}
    follow(lambda x: x * (2.0 if 5 in seen else 1.0), lambda: seen.add(5))


def test_a_default_that_changes_is_read_anew():
    def f(x, k=2.0):
        return x * k

    follow(f, lambda: setattr(f, "__defaults__", (3.0,)))


def test_a_keyword_default_that_changes_is_read_anew():
    def f(x, *, k=2.0):
        return x * k

    follow(f, lambda: f.__kwdefaults__.update(k=4.0))


def test_a_function_attribute_that_changes_is_read_anew():
    def f(x):
        return x * f.k

    f.k = 1.5
    follow(f, lambda: setattr(f, "k", 2.5))


def test_a_class_attribute_that_changes_is_read_anew():
    follow(lambda x: x * Config.rate, lambda: setattr(Config, "rate", 4.0))


def test_an_attribute_of_a_namespace_is_read_anew():
    space = types.SimpleNamespace(rate=1.0)
    follow(lambda x: x * space.rate, lambda: setattr(space, "rate", 2.0))


def test_an_attribute_of_a_module_is_read_anew():
    module = types.ModuleType("my_settings")
    module.rate = 1.0
    follow(lambda x: x * module.rate, lambda: setattr(module, "rate", 2.0))


def test_an_attribute_read_by_a_made_up_name_is_read_anew():
    space = types.SimpleNamespace(w1=1.0, w2=2.0)
    f = lambda x: sum(x * getattr(space, f"w{i}") for i in (1, 2))
    follow(f, lambda: setattr(space, "w2", 5.0))


def test_a_property_that_reads_a_private_attribute_is_read_anew():
    class Model:
        def __init__(self):
            self._rate = 2.0

        @property
        def rate(self):
            return self._rate

    model = Model()
    follow(lambda x: x * model.rate, lambda: setattr(model, "_rate", 3.0))


def test_an_instance_attribute_that_comes_to_hide_a_class_attribute_is_noticed():
    class Model:
        rate = 2.0

    model = Model()
    follow(lambda x: x * model.rate, lambda: setattr(model, "rate", 3.0))


def test_an_attribute_in_slots_is_read_anew():
    class Model:
        __slots__ = ("rate",)

    model = Model()
    model.rate = 2.0
    follow(lambda x: x * model.rate, lambda: setattr(model, "rate", 3.0))


def test_a_method_that_calls_a_method_that_reads_an_attribute_is_followed():
    class Model:
        def __init__(self):
            self.rate = 2.0

        def outer(self, x):
            return self.inner(x) + 1

        def inner(self, x):
            return x * self.rate

    model = Model()
    follow(lambda x: model.outer(x), lambda: setattr(model, "rate", 3.0))


def test_what_special_methods_read_is_followed():
    class Table:
        def __init__(self):
            self.rate = 2.0

        def __getitem__(self, i):
            return self.rate * i

    model = Table()
    follow(lambda x: x * model[3], lambda: setattr(model, "rate", 3.0))


def test_a_function_that_is_replaced_is_noticed():
    space = {"act": np.sin}
    follow(lambda x: space["act"](x), lambda: space.update(act=np.cos))


def test_a_function_imported_inside_is_looked_up_anew():
    module = types.ModuleType("my_lazy_settings")
    module.rate = 1.0
    sys.modules["my_lazy_settings"] = module

    space = {"__name__": __name__}
    exec("def f(x):\n    from my_lazy_settings import rate\n    return x * rate\n", space)
    f = space["f"]
    follow(f, lambda: setattr(module, "rate", 2.0))


def test_arguments_of_a_partial_are_part_of_it():
    f = lambda k, x: x * k
    assert tg.jit(partial(f, 2.0))(V)[0] == 1.0
    assert tg.jit(partial(f, k=3.0))(x=V)[0] == 1.5


def test_a_nan_in_the_closure_does_not_record_for_ever():
    factor = float("nan")
    jitted = tg.jit(lambda x: x * factor)
    for _ in range(5):
        assert np.isnan(jitted(V)).all()
    assert jitted.stats().traces == 1


def test_a_number_that_changes_becomes_an_input():
    factor = 0.0

    def f(x):
        return x * factor

    jitted = tg.jit(f)
    for i in range(20):
        factor = float(i)
        close(jitted(V), f(V))
    assert jitted.stats().traces == 2
    assert jitted.stats().eager_calls == 0


def test_too_many_changes_end_in_eager_calls_with_one_warning_that_names_the_value():
    words = ""

    def f(x):
        return x * len(words)

    jitted = tg.jit(f)
    with pytest.warns(RuntimeWarning, match=r"changed 8 times: variable words\. Pass it") as seen:
        for i in range(20):
            words = "a" * i
            close(jitted(V), f(V))
    assert len(seen) == 1
    assert jitted.stats().eager_calls == 12


def test_values_that_alternate_are_recorded_once_each():
    factor = 0.0
    jitted = tg.jit(lambda x: x * factor)
    for i in range(20):
        factor = float(i % 2)
        close(jitted(V), V * factor)
    assert jitted.stats().traces == 2


# Arrays --------------------------------------------------------------------------------------------


def uses():
    """Ways to use a captured array, by a function that makes the user's function."""
    yield "operand", lambda w: lambda x: x * w
    yield "plain numpy", lambda w: lambda x: x * np.exp(w)
    yield "element", lambda w: lambda x: x * w[0]
    yield "float", lambda w: lambda x: x * float(w.mean())
    yield "branch", lambda w: lambda x: x * w if w[0] > 1.0 else x + w
    yield "method", lambda w: lambda x: x * w.sum()
    yield "grad", lambda w: tg.grad(lambda x: np.sum(np.sin(x) * np.exp(w)))
    yield "nested function", lambda w: lambda x: (lambda v: v * w)(x)
    yield "container", lambda w: (lambda d: lambda x: x * d["w"][0] + d["w"])({"w": w})
    yield "returned", lambda w: lambda x: (x, w)


@pytest.mark.parametrize(("make"), [pytest.param(m, id=n) for n, m in uses()])
def test_an_array_modified_in_place_is_read_anew(make):
    w = np.array([1.0, 2.0, 3.0])
    function = make(w)
    jitted = tg.jit(function)
    for i in range(6):
        w[i % 3] -= 1.5
        close(jitted(V), function(V))
        close(jitted(V), function(V))
    assert jitted.stats().eager_calls == 0


@pytest.mark.parametrize(("make"), [pytest.param(m, id=n) for n, m in uses() if n != "container"])
def test_an_array_that_is_rebound_is_read_anew(make):
    w = np.array([1.0, 2.0, 3.0])

    def function(x):
        return make(w)(x)

    jitted = tg.jit(function)
    for i in range(6):
        w = w - i
        close(jitted(V), function(V))
        close(jitted(V), function(V))
    assert jitted.stats().eager_calls == 0


def test_an_array_that_changes_at_each_call_stays_compiled():
    w = np.ones(3)
    jitted = tg.jit(tg.grad(lambda x: np.sum(np.exp(w) * x * x)))
    for _ in range(30):
        w += 0.1
        np.testing.assert_allclose(jitted(V), 2 * np.exp(w) * V)
    assert jitted.stats().traces == 1
    assert jitted.stats().eager_calls == 0


def test_a_global_array_is_read_anew():
    def rebind():
        HERE.table = HERE.table * 2

    def change():
        table[0] += 1

    follow(lambda x: x * table + np.log(table).sum(), change, rebind)


def test_arrays_in_containers_and_modules_are_read_anew():
    w = np.array([1.0, 2.0, 3.0])
    module = types.ModuleType("my_arrays")
    module.w = w
    space = types.SimpleNamespace(w=w)

    def change():
        w[1] += 1

    for function in (
        lambda x: x * module.w,
        lambda x: x * np.exp(module.w[1]),
        lambda x: x * space.w[1],
        lambda x: x * [w, 1][0],
    ):
        follow(function, change)


def test_an_array_that_is_reshaped_in_place_is_noticed():
    w = np.arange(3.0)
    jitted = tg.jit(lambda x: x * w)
    close(jitted(V), V * w)
    w.shape = (3, 1)
    close(jitted(V), V * w)


def test_an_array_read_by_raw_code_is_compared():
    class Model:
        def __init__(self):
            self.w = np.array([1.0, 2.0, 3.0])

        def __call__(self, x):
            self.last = 0  # a write: the instance may not be copied
            return x * 2 if self.w[0] > 1.5 else x * 3

    model = Model()
    jitted = tg.jit(model)
    with pytest.warns(RuntimeWarning, match="changes what is outside"):
        for value in (1.0, 2.0, 1.0, 3.0):
            model.w[0] = value
            close(jitted(V), V * (2 if value > 1.5 else 3))


def test_two_names_of_one_array_that_part_are_noticed():
    a = np.ones(3)
    b = a

    def f(x):
        return x * a + b

    jitted = tg.jit(f)
    close(jitted(V), f(V))
    b = a + 1
    close(jitted(V), f(V))
    a = b
    close(jitted(V), f(V))


def test_a_constant_that_the_function_makes_is_fresh_at_each_call():
    check(lambda x: (x, np.zeros(3), np.arange(4)), (V,))
    jitted = tg.jit(lambda x: (x * 2, np.zeros(3)))
    for _ in range(4):
        result = jitted(V)[1]
        assert not result.any()
        result += 1


def test_a_captured_array_that_is_returned_is_the_array_itself():
    w = np.ones(3)
    jitted = tg.jit(lambda x: (x * 2, w))
    for _ in range(4):
        assert jitted(V)[1] is w


def test_a_tensor_from_outside_keeps_its_gradient():
    w = tg.tensor([1.0, 2.0, 3.0])
    jitted = tg.jit(lambda x: np.sum(w * x))
    with pytest.warns(RuntimeWarning, match="a tensor from outside"):
        for _ in range(3):
            jitted(V).backward()
            close(w.grad, V)


def test_a_shape_dependent_constant_follows_the_shape():
    f = lambda x: x * np.arange(x.shape[0])[:, None] + len(x)
    check(f, (X,), (X[:2],), (X,))


@pytest.mark.parametrize("transform", [tg.grad, tg.vmap, tg.jacobian])
def test_a_transformation_without_images_is_read_under_jit(transform):
    weights = np.array([1.0, 2.0])

    def f(x):
        return np.sum(np.sin(x) * weights, axis=-1)

    points = np.ones((2, 2)) if transform is tg.vmap else np.ones(2)
    plain = transform(f, adapt=False)
    compiled, called_inside = tg.jit(plain), tg.jit(lambda x: plain(x) * 1.0)
    for value in (1.0, 5.0, -2.0):
        weights[:] = value
        np.testing.assert_allclose(compiled(points), plain(points))
        np.testing.assert_allclose(called_inside(points), plain(points))
