"""Derivatives of higher order, and wide ones, compiled beside JAX's compiled ones."""

from collections.abc import Callable
from typing import Any

from benchmarks.beside import Program, hessian, measured
from benchmarks.harness import Options, Report
from benchmarks.programs import higher, workloads

ORDER = 6


def sixth(library: Any, function: Callable[..., Any]) -> Callable[..., Any]:
    """Differentiate again and again."""
    for _ in range(ORDER):
        function = library.grad(function)
    return function


def sixth_of_each(library: Any, function: Callable[..., Any]) -> Callable[..., Any]:
    """Differentiate the sum, again and again: for an elementwise function, that is each by itself."""

    def derived(function: Callable[..., Any]) -> Callable[..., Any]:
        return library.grad(lambda x: higher.total(function(x)))

    for _ in range(ORDER):
        function = derived(function)
    return function


def times_vector(library: Any, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the hessian by the first argument times the last: forward mode over the gradient."""

    def product(x: Any, *rest: Any) -> Any:
        *others, vector = rest
        gradient = library.grad(lambda x: function(x, *others))
        return library.jvp(gradient, (x,), (vector,))[1]

    return product


def rows_first(library: Any, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the jacobian by reverse mode: three sweeps for three rows."""
    return library.jacrev(function)


PROGRAMS = [
    Program("sixth derivative of tanh", higher.tanh, higher.number, (), (), (), sixth),
    Program(
        "sixth derivative of tanh, 10,000 numbers",
        higher.tanh,
        workloads.chain_data,
        (10_000,),
        (9_000,),
        (5,),
        sixth_of_each,
    ),
    Program(
        "hessian of 200 arguments",
        workloads.coupled,
        workloads.chain_data,
        (200,),
        (190,),
        (6,),
        hessian,
    ),
    Program(
        "hessian of a network times a vector",
        higher.network,
        higher.network_data,
        (128, 784, 128),
        (112, 784, 128),
        (5, 4, 3),
        times_vector,
    ),
    Program(
        "jacobian, 3 of 10,000",
        higher.three,
        workloads.chain_data,
        (10_000,),
        (9_000,),
        (7,),
        rows_first,
    ),
]


def run(options: Options) -> Report:
    """Measure the derivatives."""
    return measured("orders", PROGRAMS, options)
