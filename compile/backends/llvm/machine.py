"""Machine code: what LLVM makes of a module's text for this processor, and what loads it.

Nothing here is bound to a process: the object code of a module runs wherever the processor is the same.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import llvmlite.binding as llvm

from tapegrad.compile.backends.llvm.entry import TABLE

__all__ = ["Code", "address_in", "assembly", "code", "function", "load", "object_code", "target"]

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


class Code(NamedTuple):
    """Machine code in memory.

    Attributes
    ----------
    engine : object
        What keeps it there.
    address : int
        Of its function ``kernel``.
    """

    engine: Any
    address: int


class _Table(bytes):
    """The `self` of a function: addresses that its code reads; what the function needs lives as long."""

    owned: tuple[Any, ...]
    engine: Any


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


def code(compiled: bytes) -> Code:
    """Load a module's object code."""
    target()
    machine = llvm.Target.from_default_triple().create_target_machine(jit=True)
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
    engine.add_object_file(llvm.ObjectFileRef.from_data(compiled))
    engine.finalize_object()
    return Code(engine, engine.get_function_address("kernel"))


def function(of: Code, table: bytes, holds: Any = None) -> Callable[..., Any]:
    """Return machine code as a function of Python's.

    Parameters
    ----------
    of : Code
        Takes `self`, and arguments as METH_FASTCALL says.
    table : bytes
        What lies at TABLE_START of `self`.
    holds : object
        What must live as long: objects whose addresses are in the table, say.
    """
    held = _Table(table)
    method = _Method(b"kernel", of.address, _FASTCALL, None)
    held.owned, held.engine = (method, holds), of.engine
    return _new_function(ctypes.byref(method), held, None)  # type: ignore[no-any-return]


def load(compiled: bytes) -> Callable[..., Any]:
    """Return the kernel of a module's object code as a function of Python's."""
    return function(code(compiled), TABLE)


def address_in(function: Callable[..., Any], name: str) -> int:
    """Return where another function lies that was compiled together with one of Python's."""
    return function.__self__.engine.get_function_address(name)  # type: ignore[attr-defined,no-any-return]


_new_function = ctypes.pythonapi.PyCFunction_NewEx
_new_function.argtypes = (ctypes.c_void_p, ctypes.py_object, ctypes.c_void_p)
_new_function.restype = ctypes.py_object
