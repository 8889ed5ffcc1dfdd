"""Names of other libraries: the error says what to write here, and that runs."""

import pickle
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.tape.core.other_names import OF_TENSORS, OF_THE_PACKAGE

DOCUMENTED = [
    "numpy",
    "detach",
    "requires_grad",
    "zero_grad",
    "at",
    "cuda",
    "unsqueeze",
    "exp",
    "add_",
]


def f(x: Any) -> Any:
    return np.sum(x * x)


def run(text: str) -> None:
    code = text.partition("# ")[0].strip()
    names = {"x": tg.tensor([1.0, 2.0]), "f": f, "np": np, "tg": tg, "pickle": pickle}
    exec(code.replace("del x", "pass"), names)


@pytest.mark.parametrize("name", OF_TENSORS)
def test_what_a_tensor_lacks_is_answered_by_code_that_runs(name: str) -> None:
    x = tg.tensor([1.0, 2.0])
    code, _, why = OF_TENSORS[name].partition("# ")
    with pytest.raises(AttributeError, match=f"no attribute '{name}'[;:]") as caught:
        getattr(x, name)
    assert code.strip() in str(caught.value) and why in str(caught.value)
    assert not hasattr(x, name) and not hasattr(tg.Tensor, name) and name not in dir(x)
    run(OF_TENSORS[name])


@pytest.mark.parametrize("name", OF_THE_PACKAGE)
def test_what_the_package_lacks_is_answered_by_code_that_runs(name: str) -> None:
    with pytest.raises(AttributeError, match=f"no attribute '{name}'[;:]"):
        getattr(tg, name)
    assert name not in dir(tg)
    run(OF_THE_PACKAGE[name])


def test_numpys_names_are_answered_by_numpys_functions() -> None:
    with pytest.raises(AttributeError, match=r"use np\.exp\(x\)$"):
        tg.tensor(1.0).exp  # type: ignore[attr-defined]
    with pytest.raises(AttributeError, match=r"use x\[\.\.\.\] = np\.exp\(x\)$"):
        tg.tensor(1.0).exp_  # type: ignore[attr-defined]
    with pytest.raises(AttributeError, match=r"use np\.fliplr|use np\.polyfit: it takes tensors"):
        tg.polyfit  # type: ignore[attr-defined]
    with pytest.raises(AttributeError, match=r"no attribute 'nobody'$"):
        tg.nobody  # type: ignore[attr-defined]
    with pytest.raises(AttributeError, match=r"no attribute 'nobody'$"):
        tg.tensor(1.0).nobody  # type: ignore[attr-defined]


def test_what_others_assign_is_answered_too() -> None:
    x = tg.tensor([1.0])
    with pytest.raises(AttributeError, match=r"tg\.stop_gradient"):
        x.requires_grad = False
    with pytest.raises(AttributeError, match="null_grad"):
        x.grad = np.ones(1)

    class Parameter(tg.Tensor):
        requires_grad = True

    class Flagged(tg.Tensor):
        pass

    flagged = Flagged([1.0])
    flagged.requires_grad = False
    assert Parameter([1.0]).requires_grad is True and flagged.requires_grad is False


def test_traced_values_lack_what_arrays_lack() -> None:
    def reads(x: Any) -> Any:
        return x.sum() if hasattr(x, "detach") or hasattr(x, "requires_grad") else 2 * x.sum()

    assert np.array_equal(tg.grad(reads)(np.ones(2)), [2.0, 2.0])
    assert tg.jit(reads)(np.ones(2)) == 4.0


def test_completion_has_what_is_for_users() -> None:
    x = tg.tensor([1.0])
    with tg.Tape() as tape:
        y = x * 2
    for value in (x, y, tape, tg.jit(f), tg):
        assert not [n for n in dir(value) if n.startswith("_") and not n.startswith("__")]
    assert not {"live_trace", "snapshot", "adopt", "node"} & {*dir(x)}
    assert {"backward", "grad", "sum", "T"} <= {*dir(x)} and {"replay", "program"} <= {*dir(tape)}
    assert {"explain", "stats", "lower"} <= {*dir(tg.jit(f))}


def test_notebooks_show_tensors_tapes_and_jitted_functions() -> None:
    x = tg.tensor([[1.0, 2.0], [3.0, 4.0]])
    with tg.Tape() as tape:
        y = np.sum(x * x)
    y.backward()
    shown = x._repr_html_()
    assert shown is not None and "shape (2, 2), float64, variable" in shown and "grad" in shown
    assert "[[1. 2.]" in shown and "8." in shown
    assert "np.sum" in tape._repr_html_() and "2 entries" in tape._repr_html_()
    jitted = tg.jit(f)
    jitted(np.ones(3))
    assert "jit(f)" in jitted._repr_html_() and "1 recordings" in jitted._repr_html_()
    assert len(tg.tensor(np.zeros(10**6))._repr_html_() or "") < 3000
    seen = []
    tg.grad(lambda x: (seen.append(x._repr_html_()), f(x))[1])(np.ones(2))
    assert seen == [None]
    assert "&lt;lambda&gt;" in tg.jit(lambda x: x)._repr_html_()
