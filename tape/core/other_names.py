"""Names that users of NumPy, MyGrad, autograd, JAX and PyTorch try, and what to write here.

One table for tensors and one for the package. A text is Python, with ``x`` a tensor and ``f`` a
function; what follows ``#`` says why. Attribute errors show it; nothing of this is in completion.
"""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["OF_TENSORS", "OF_THE_PACKAGE", "Elsewhere", "missing", "missing_in_package"]

_FLAG = "x.constant  # tg.tensor(x, constant=True) and tg.stop_gradient(x) make constants"
_CPU = "# tapegrad computes on the CPU"
_FLOATS = "# floats are variable unless constant=True is passed"
_UNLESS = "with tg.no_autodiff: tg.sin(x)  # recording is on everywhere else"

OF_TENSORS = {
    # NumPy
    "byteswap": "x.data.byteswap()",
    "ctypes": "x.data.ctypes",
    "dump": "pickle.dumps(x)  # or tg.save(file, x)",
    "dumps": "pickle.dumps(x)",
    "getfield": "x.data.getfield(float)",
    "newbyteorder": "x.data.dtype.newbyteorder()",
    "resize": "np.resize(x, (2, 2))  # returns a new tensor",
    "setfield": "x.data.setfield(1.0, float)",
    "setflags": "x.data.setflags()  # tapegrad itself locks arrays that a graph needs",
    # PyTorch
    "numpy": "x.data  # shares memory; np.array(x) is a copy",
    "detach": "tg.stop_gradient(x)",
    "detach_": "tg.stop_gradient(x)",
    "requires_grad": _FLAG,
    "requires_grad_": _FLAG,
    "zero_grad": "x.null_grad()  # a new graph nulls gradients by itself",
    "is_leaf": "x.creator is None",
    "grad_fn": "x.creator",
    "retain_grad": "x.grad  # every tensor of a graph gets its gradient",
    "register_hook": "tg.custom_vjp  # of a function that returns its argument",
    "clone": "+x  # in the graph; x.copy() is not",
    "cpu": "x  # " + _CPU[2:],
    "cuda": _CPU,
    "to": "x.astype(np.float32)  # there is one device",
    "type": "x.astype(np.float32)",
    "double": "x.astype(np.float64)",
    "float": "x.astype(np.float32)",
    "half": "x.astype(np.float16)",
    "long": "x.astype(np.int64)",
    "int": "x.astype(np.int32)",
    "bool": "x.astype(np.bool_)",
    "dim": "x.ndim",
    "numel": "x.size",
    "nelement": "x.size",
    "element_size": "x.itemsize",
    "permute": "x.transpose(0)",
    "t": "x.T",
    "unsqueeze": "x[None]",
    "expand": "tg.broadcast_to(x, (2, *x.shape))",
    "expand_as": "tg.broadcast_to(x, x.shape)",
    "view_as": "x.reshape(x.shape)",
    "reshape_as": "x.reshape(x.shape)",
    "type_as": "x.astype(x.dtype)",
    "contiguous": "np.ascontiguousarray(x.data)  # computing asks for no layout",
    "is_contiguous": "x.flags.c_contiguous",
    "clamp": "x.clip(0, 1)",
    "masked_fill": "tg.where(x > 2, 0.0, x)",
    "index_select": "x.take([0, 1], axis=0)",
    "gather": "tg.take_along_axis(x, np.array([0, 1]), 0)",
    "scatter": "tg.put_along_axis(x, np.array([0, 1]), 5.0, 0)  # in place",
    "new_zeros": "tg.zeros(3, dtype=x.dtype)",
    "new_ones": "tg.ones(3, dtype=x.dtype)",
    "new_tensor": "tg.tensor([1.0, 2.0])",
    "data_ptr": "x.data.ctypes.data",
    "mm": "x @ x",
    "mv": "x @ x",
    "bmm": "tg.matmul(x, x)",
    "norm": "tg.linalg.norm(x)",
    "sigmoid": "tg.nnet.activations.sigmoid(x)",
    "relu": "tg.nnet.activations.relu(x)",
    "softmax": "tg.nnet.activations.softmax(x)",
    "log_softmax": "tg.nnet.activations.logsoftmax(x)",
    # JAX
    "at": "y = +x; y[0] = 5.0  # tensors are written into, differentiably; np.add.at(y, i, v) adds",
    "block_until_ready": "x  # results are there when a function returns",
    "aval": "tg.ShapeDtypeStruct(x.shape, x.dtype)",
    "weak_type": "x.dtype",
    "sharding": _CPU,
    "devices": "x.device",
    "delete": "del x",
    # others
    "assign": "x[...] = 5.0",
    "assign_add": "x += 5.0",
    "assign_sub": "x -= 5.0",
    "cleargrad": "x.null_grad()",
    "asnumpy": "x.data",
    "to_numpy": "x.data",
    "values": "x.data",
}

OF_THE_PACKAGE = {
    "array": "tg.tensor([1.0, 2.0])",
    "ndarray": "tg.Tensor",
    "Array": "tg.Tensor",
    "numpy": "np.sin(x)  # NumPy's own functions take tensors: import numpy as np",
    "np": "np.sin(x)  # NumPy's own functions take tensors: import numpy as np",
    "jnp": "np.sin(x)  # NumPy's own functions take tensors: import numpy as np",
    "fft": "np.fft.fftshift(x)",
    "scipy": "tg.special.erf(x)  # SciPy's functions run as they are inside tg.grad(f)",
    # PyTorch
    "Variable": "tg.tensor([1.0, 2.0])  # " + _FLOATS[2:],
    "Parameter": "tg.tensor([1.0, 2.0])  # " + _FLOATS[2:],
    "no_grad": _UNLESS.partition("  # ")[0],
    "inference_mode": _UNLESS.partition("  # ")[0],
    "enable_grad": _UNLESS,
    "set_grad_enabled": _UNLESS,
    "from_numpy": "tg.astensor(np.ones(2))  # shares memory",
    "as_tensor": "tg.astensor(np.ones(2))  # shares memory",
    "is_tensor": "isinstance(x, tg.Tensor)",
    "autograd": "tg.grad(f)(x)  # or y.backward(), or tg.gradients",
    "func": "tg.grad(f)(x)  # and tg.vmap, tg.jvp, tg.jacfwd, ...",
    "nn": "tg.nnet.activations.relu(x)  # a model is any function or class that calls NumPy",
    "manual_seed": "tg.random.seed(0)",
    "cat": "tg.concatenate([x, x])",
    "clamp": "tg.clip(x, 0, 1)",
    "unsqueeze": "tg.expand_dims(x, 0)",
    "permute": "tg.transpose(x, (0,))",
    "mm": "tg.matmul(x, x)",
    "mv": "tg.matmul(x, x)",
    "bmm": "tg.matmul(x, x)",
    "relu": "tg.nnet.activations.relu(x)",
    "sigmoid": "tg.nnet.activations.sigmoid(x)",
    "softmax": "tg.nnet.activations.softmax(x)",
    "log_softmax": "tg.nnet.activations.logsoftmax(x)",
    "logsumexp": "tg.special.logsumexp(x)",
    "device": _CPU,
    "cuda": _CPU,
    "set_default_dtype": "tg.zeros(3, dtype=float)  # data keep their dtype",
    "rand": "tg.random.rand(2)",
    "randn": "tg.random.randn(2)",
    # JAX
    "lax": "tg.cond(True, tg.sin, tg.cos, x)  # and tg.scan, tg.while_loop, tg.map, ...",
    "pmap": "tg.vmap(np.sum)(np.ones((2, 3)))  # " + _CPU[2:],
    "make_jaxpr": "tg.make_tape(f)(x.data)",
    "device_put": "tg.astensor(np.ones(2))",
    "device_get": "x.data",
    "block_until_ready": "x  # results are there when a function returns",
    "tree": "tg.tree_map(np.sin, [x, x])",
    "tree_util": "tg.tree_map(np.sin, [x, x])",
    "flatten_util": "tg.ravel_pytree([x, x])",
    "PRNGKey": "np.random.default_rng(0)",
    "pure_callback": "tg.custom_vjp  # Python that is unknown runs as it is",
    "debug": "print(x)  # code runs as Python; under tg.jit a function that prints is not compiled",
    "disable_jit": "f  # a function without tg.jit",
    "named_call": "f",
    "defvjp": "tg.custom_vjp",
    # autograd, TensorFlow
    "primitive": "tg.custom_vjp",
    "extend": "tg.custom_vjp",
    "grad_and_aux": "tg.grad(lambda x: (f(x), x), has_aux=True)",
    "make_vjp": "tg.vjp(f, x.data)",
    "make_jvp": "tg.jvp(f, (x.data,), (x.data,))",
    "deriv": "tg.jvp(f, (x.data,), (x.data,))",
    "vector_jacobian_product": "tg.vjp(f, x.data)",
    "hessian_vector_product": "tg.hvp(f, (x.data,), (x.data,))",
    "make_hvp": "tg.hvp(f, (x.data,), (x.data,))",
    "GradientTape": "tg.Tape()",
    "function": "tg.jit(f)",
    "constant": "tg.tensor([1.0, 2.0], constant=True)",
    "custom_gradient": "tg.custom_vjp",
}


def _answer(text: str) -> str:
    """Return a text of the tables as the end of a sentence."""
    code, _, why = text.partition("# ")
    return (f"; use {code.strip()}" if code else "") + (f": {why}" if why else "")


def missing(name: str) -> str:
    """Say that tensors have no such attribute, and what to use instead."""
    text = OF_TENSORS.get(name)
    if text is None and _is_function(name):
        text = f"np.{name}(x)"
    if text is None and name.endswith("_") and _is_function(name[:-1]):
        text = f"x[...] = np.{name[:-1]}(x)"
    return f"'Tensor' object has no attribute {name!r}" + _answer(text or "")


def _is_function(name: str) -> bool:
    found = vars(np).get(name)
    return callable(found) and not isinstance(found, type)


def missing_in_package(name: str) -> str:
    """Say that the package has no such name, and what to use instead."""
    text = OF_THE_PACKAGE.get(name)
    if text is None and not name.startswith("_") and name in vars(np):
        text = f"np.{name}" + ("  # it takes tensors" if _is_function(name) else "")
    return f"module 'tapegrad' has no attribute {name!r}" + _answer(text or "")


class Elsewhere:
    """An attribute that others assign: says what to do, and is there for subclasses that have it."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        added = {} if instance is None else getattr(instance, "__dict__", {})
        if self.name in added:
            return added[self.name]
        raise AttributeError(missing(self.name))

    def __set__(self, instance: Any, value: Any) -> None:
        added = getattr(instance, "__dict__", None)
        if added is None:
            raise AttributeError(missing(self.name))
        added[self.name] = value
