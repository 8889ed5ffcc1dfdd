"""What can be jitted, how it is called, and jit together with the other transformations."""

import copy
import dataclasses
import functools
import pickle
import threading
import typing
import warnings

import numpy as np
import pytest
from compare import V, X, check, close

import tapegrad as tg


class Point(typing.NamedTuple):
    x: typing.Any
    y: typing.Any


@dataclasses.dataclass
class Params:
    w: typing.Any
    rate: float = 2.0


class Layer:
    """A model whose methods are jitted."""

    def __init__(self, w):
        self.w = w

    @tg.jit
    def apply(self, x):
        return x * self.w + 1

    @staticmethod
    @tg.jit
    def double(x):
        return x * 2

    @classmethod
    @tg.jit
    def named(cls, x):
        return x * len(cls.__name__)


class Slotted:
    __slots__ = ("w",)

    @tg.jit
    def apply(self, x):
        return x * self.w


def test_keyword_arguments_defaults_and_stars_are_passed_on():
    def f(x, k=2.0, *more, scale=1.0, **rest):
        return x * k * scale + sum(more) + sum(rest.values())

    jitted = tg.jit(f)
    for _ in range(3):
        close(jitted(V), f(V))
        close(jitted(V, 3.0), f(V, 3.0))
        close(jitted(x=V, k=4.0), f(x=V, k=4.0))
        close(
            jitted(V, 3.0, 1.0, 2.0, scale=0.5, a=V, b=1.0),
            f(V, 3.0, 1.0, 2.0, scale=0.5, a=V, b=1.0),
        )
        close(jitted(V, scale=2.0), f(V, scale=2.0))
    with pytest.raises(TypeError, match="missing 1 required positional argument"):
        jitted()
    with pytest.raises(TypeError, match="multiple values"):
        jitted(V, x=V)


def test_the_order_of_keywords_and_keys_does_not_mix_values_up():
    jitted = tg.jit(lambda **named: {k: v * 2 for k, v in named.items()})
    for _ in range(3):
        close(jitted(a=V, b=V + 1), {"a": V * 2, "b": V * 2 + 2})
        close(jitted(b=V, a=V + 1), {"b": V * 2, "a": V * 2 + 2})
        assert list(jitted(b=V, a=V)) == ["b", "a"]


def test_nests_go_in_and_out():
    def f(tree):
        return {"p": Point(tree["a"][0] * 2, None), "l": [tree["a"][1] + 1, (tree["b"],)], 3: "s"}

    check(f, ({"a": (V, X), "b": 2.0},), ({"a": (V + 1, X), "b": 3.0},))
    check(lambda p: Point(p.y, p.x * 2), (Point(V, 1.0),))
    check(lambda x: ([], {}, (), None, x), (V,))


def test_strings_flags_and_other_constants_are_part_of_the_signature():
    def f(x, mode, flag=False, index=slice(None), dtype=np.float64):
        y = np.sin(x) if mode == "sin" else np.cos(x)
        return (y * 2 if flag else y)[index].astype(dtype)

    check(f, (V, "sin"), (V, "cos"), (V, "sin", True), (V, "sin", True, slice(1, 2)),
          (V, "sin", None, slice(0, 2), np.float32))  # fmt: skip


def test_a_dataclass_argument_is_read_at_each_call():
    jitted = tg.jit(lambda p, x: x * p.w * p.rate, strict=True)
    p = Params(V.copy())
    for rate in (1.0, 2.0, 3.0):
        p.rate, p.w = rate, p.w + 1
        close(jitted(p, V), V * p.w * rate)
    assert jitted.stats().traces == 1


def test_a_dataclass_that_is_returned_holds_arrays():
    jitted = tg.jit(lambda x: Params(x * 2), strict=True)
    for _ in range(3):
        close(jitted(V).w, V * 2)
    assert jitted(V) is not jitted(V)


def test_a_function_as_argument_is_called_as_it_is():
    jitted = tg.jit(lambda f, x: f(x) + 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for factor in (1.0, 2.0, 3.0):
            close(jitted(lambda v, k=factor: v * k, V), V * factor + 1)
    close(tg.jit(lambda f, x: f(x))(np.sin, V), np.sin(V))


def test_methods_are_compiled_for_each_instance():
    a, b = Layer(np.array([1.0, 2.0, 3.0])), Layer(np.array([4.0, 5.0, 6.0]))
    for _ in range(4):
        close(a.apply(V), V * a.w + 1)
        close(b.apply(V), V * b.w + 1)
        a.w[0] += 1
        b.w = b.w * 2
    assert a.apply.stats().eager_calls == 0


def test_a_copied_instance_does_not_run_the_method_of_the_original():
    a = Layer(V.copy())
    a.apply(V)
    for b in (copy.copy(a), copy.deepcopy(a), pickle.loads(pickle.dumps(a))):
        b.w = V + 5
        close(b.apply(V), V * b.w + 1)
        close(a.apply(V), V * a.w + 1)


def test_static_and_class_methods_are_jitted():
    for _ in range(3):
        close(Layer.double(V), V * 2)
        close(Layer(1.0).double(V), V * 2)
        close(Layer.named(V), V * 5)
        close(Layer(1.0).named(V), V * 5)


def test_a_method_of_a_class_with_slots_is_jitted():
    model = Slotted()
    for w in (2.0, 2.0, 3.0):
        model.w = w
        close(model.apply(V), V * w)


def test_partials_bound_methods_ufuncs_and_callable_objects_are_jitted():
    class Scale:
        def __init__(self, k):
            self.k = k

        def __call__(self, x):
            return x * self.k

        def plus(self, x):
            return x + self.k

    scale = Scale(3.0)
    check(scale, (V,))
    check(scale.plus, (V,))
    check(functools.partial(lambda k, x: x * k, 2.0), (V,))
    check(functools.partial(np.sum, axis=0), (X,))
    check(np.exp, (V,))
    jitted = tg.jit(scale)
    jitted(V)
    scale.k = 5.0
    close(jitted(V), V * 5)


def test_a_generator_function_and_a_class_are_run_as_they_are():
    def f(x):
        yield x * 2
        yield x * 3

    jitted = tg.jit(f)
    with pytest.warns(RuntimeWarning, match="generator"):
        for _ in range(2):
            close(list(jitted(V)), [V * 2, V * 3])
    with pytest.warns(RuntimeWarning):
        close(tg.jit(lambda x: list(map(np.sin, x)) and Layer(x))(V).w, V)


def test_jit_takes_functions_only():
    with pytest.raises(TypeError, match="jit takes a function, not int"):
        tg.jit(3)


def test_recursion_is_unrolled():
    @tg.jit
    def power(x, n):
        return x if n == 1 else x * power(x, n - 1)

    for n in (1, 3, 3, 5, 3):
        close(power(V, n), functools.reduce(np.multiply, [V] * n))


def test_jit_inside_jit_is_right_and_follows_what_the_inner_one_reads():
    k = 2.0
    inner = tg.jit(lambda x: x * k)
    outer = tg.jit(lambda x: inner(x) + inner(x * 2))
    for k in (2.0, 2.0, 5.0):
        close(outer(V), V * 3 * k)


COMPOSITIONS = {
    "jit of grad": lambda f: tg.jit(tg.grad(f)),
    "grad of jit": lambda f: tg.grad(tg.jit(f)),
    "jit of grad of jit": lambda f: tg.jit(tg.grad(tg.jit(f))),
    "grad of jit of grad": lambda f: tg.grad(lambda x: np.sum(tg.jit(tg.grad(f))(x) * x)),
    "vmap of jit": lambda f: lambda x: tg.vmap(tg.jit(f))(np.stack([x, x * 2])),
    "jit of vmap": lambda f: lambda x: tg.jit(tg.vmap(f))(np.stack([x, x * 2])),
    "jit of vmap of grad": lambda f: lambda x: tg.jit(tg.vmap(tg.grad(f)))(np.stack([x, x])),
    "jvp of jit": lambda f: lambda x: tg.jvp(tg.jit(f), (x,), (x,)),
    "jit of jvp": lambda f: tg.jit(lambda x: tg.jvp(f, (x,), (x,))),
    "jit of vjp of jit": lambda f: tg.jit(lambda x: tg.vjp(tg.jit(f), x)[1](1.0 + 0 * x[0])[0]),
}


def scalar(x):
    return np.sum(np.sin(x) * np.exp(-x * x)) + x[0] * x[1]


@pytest.mark.parametrize("name", COMPOSITIONS)
def test_transformations_compose_in_any_order(name, monkeypatch):
    compiled = COMPOSITIONS[name](scalar)
    got = [compiled(v.copy()) for v in (V, V, V + 1, V)]
    monkeypatch.setattr(tg, "jit", lambda f: f)
    plain = COMPOSITIONS[name](scalar)
    for a, v in zip(got, (V, V, V + 1, V)):
        close(a, plain(v))


def test_a_cotangent_of_any_layout_is_pulled_back():
    f = lambda x: np.sin(x) * x
    back = tg.jit(lambda x, g: tg.vjp(f, x)[1](g)[0])
    outside = tg.vjp(tg.jit(f), X)[1]
    for g in (X, X[::-1], np.asfortranarray(X), np.broadcast_to(X[0], X.shape)):
        wanted = g * (np.cos(X) * X + np.sin(X))
        for _ in range(2):
            close(back(X, g), wanted)
            close(outside(g)[0], wanted)


def test_imperative_tensors_get_their_gradients_through_a_jitted_function():
    jitted = tg.jit(scalar)
    for _ in range(3):
        x = tg.tensor(V)
        jitted(x).backward()
        close(x.grad, tg.grad(scalar)(V))


def test_no_traced_value_leaks_into_an_iterator():
    kept = []

    @tg.jit
    def f(x):
        kept.append(iter([x]))
        return x

    with pytest.warns(RuntimeWarning):
        f(V)
    np.testing.assert_array_equal(next(kept[0]), V)


def test_a_function_that_is_kept_works_on_the_values():
    kept = []

    @tg.jit
    def f(x):
        kept.append(lambda: x * 2)
        return x

    with pytest.warns(RuntimeWarning):
        f(V)
    close(kept[0](), V * 2)


def test_an_exception_leaves_no_state_behind():
    fail = True

    @tg.jit
    def f(x):
        if fail:
            raise KeyError("now")
        return np.exp(x) * 2

    for _ in range(2):
        with pytest.raises(KeyError, match="now"):
            tg.grad(lambda x: np.sum(f(x)))(V)
        with pytest.raises(KeyError, match="now"):
            f(V)
    fail = False
    close(f(V), np.exp(V) * 2)
    close(tg.grad(lambda x: np.sum(f(x)))(V), np.exp(V) * 2)
    assert type(np.zeros(2) + 1) is np.ndarray


def test_eight_threads_call_at_once_and_get_right_results():
    calls = tg.jit(tg.value_and_grad(lambda x: np.sum(np.tanh(x) * np.exp(-x * x))))
    expected = tg.value_and_grad(lambda x: np.sum(np.tanh(x) * np.exp(-x * x)))
    arrays = [
        np.linspace(-1, 1, n) + i for i, n in enumerate((10, 10, 300, 300, 10, 90000, 90000, 7))
    ]
    wanted = [expected(a) for a in arrays]
    barrier, failures = threading.Barrier(8), []

    def work(i):
        try:
            barrier.wait()
            for _ in range(20):
                value, gradient = calls(arrays[i])
                np.testing.assert_allclose(value, wanted[i][0], 1e-12, 1e-12)
                np.testing.assert_allclose(gradient, wanted[i][1], 1e-12, 1e-12)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures
    assert calls.stats().eager_calls == 0
