"""Machine code: what LLVM makes of a module's text for this processor, and what loads it.

Nothing here is bound to a process: the object code of a module runs wherever the processor is the same.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache
from typing import Any

import llvmlite.binding as llvm

from tapegrad.compile.backends.llvm.entry import TABLE

__all__ = ["assembly", "load", "object_code", "target"]

#: The code of a method that takes its arguments as an array: METH_FASTCALL of CPython's.
_FASTCALL = 0x80


class _Method(ctypes.Structure):
    """What CPython knows of a function in C: PyMethodDef."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("address", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    )


class _Owner(bytes):
    """The table of addresses, as the `self` of a function; what the function needs lives as long."""

    engine: Any
    method: _Method


@cache
def target() -> str:
    """Return a description of what code is made for: processor and version of LLVM."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    features = llvm.get_host_cpu_features().flatten()
    version = ".".join(map(str, llvm.llvm_version_info))
    return f"{llvm.get_default_triple()} {llvm.get_host_cpu_name()} {features} {version}"


@cache
def _machine() -> llvm.TargetMachine:
    target()
    return llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(),
        features=llvm.get_host_cpu_features().flatten(),
        opt=3,
        jit=True,
    )


def _optimised(text: str) -> llvm.ModuleRef:
    machine = _machine()
    module = llvm.parse_assembly(text)
    options = llvm.create_pipeline_tuning_options(speed_level=3)
    options.loop_vectorization = True
    options.slp_vectorization = False
    builder = llvm.create_pass_builder(machine, options)
    builder.getModulePassManager().run(module, builder)
    return module


def object_code(text: str) -> bytes:
    """Compile a module."""
    return _machine().emit_object(_optimised(text))  # type: ignore[no-any-return]


def assembly(text: str) -> str:
    """Return the instructions of a module's machine code, to be read."""
    return _machine().emit_assembly(_optimised(text))  # type: ignore[no-any-return]


def load(code: bytes) -> Callable[..., Any]:
    """Return the function ``kernel`` of a module's object code as a function of Python's."""
    target()
    machine = llvm.Target.from_default_triple().create_target_machine(jit=True)
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    owner = _Owner(TABLE)
    owner.engine = engine
    address = engine.get_function_address("kernel")
    owner.method = _Method(b"kernel", address, _FASTCALL, None)
    return _function(ctypes.byref(owner.method), owner, None)


_function = ctypes.pythonapi.PyCFunction_NewEx
_function.argtypes = (ctypes.c_void_p, ctypes.py_object, ctypes.c_void_p)
_function.restype = ctypes.py_object
