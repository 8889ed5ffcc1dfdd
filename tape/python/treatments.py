"""What becomes of each instruction in an image: the table of treatments.

An instruction that can read, change or run what is outside of the function belongs to a *group*, and
a :class:`Level` says which groups ask the gate always, which only while a gate is watching, and which
never. A treatment is written in a few words:

- ``run``: the gate gets the operands and answers what to call, and the call takes the place of the
  instruction. It is made from the user's frame: no frame of ours is below what it runs.
- ``answer``: what the gate answers takes the place of the instruction.
- ``first``: the gate gets the operand and answers what the instruction gets in its place.
- ``then``: the gate gets the result and answers what goes on in its place.
- ``tell``: the gate sees the operands; the instruction runs as it is.

Loops are kept as they are written. Where the gate may take trips into its own hands
(:mod:`~tapegrad.tape.python.rewriting`, :mod:`~tapegrad.tape.python.rolling`), names are stored anew
before a trip, and after the loop.
"""

from __future__ import annotations

from collections.abc import Callable

from tapegrad.tape.python.bytecode import OPCODES, VERSION, Assembly
from tapegrad.tape.python.sites import Site, is_comprehension

__all__ = ["KEPT", "TREATED", "as_it_is", "spread"]

_BINARY = ("+", "&", "//", "<<", "@", "*", "%", "|", "**", ">>", "-", "/", "^")
_COMPARE = ("<", "<=", "==", "!=", ">", ">=")
#: Their results are bool already, and no user's.
_BOOLS = frozenset(
    [
        "IS_OP",
        "CONTAINS_OP",
        "CHECK_EXC_MATCH",
        "MATCH_MAPPING",
        "MATCH_SEQUENCE",
        "UNARY_NOT",
        "TO_BOOL",
    ]
)


Treat = Callable[[Site], Assembly]
Group = Callable[[Site], str]
#: The group of each instruction that may ask the gate, and what is written for it when it does.
TREATED: dict[str, tuple[str | Group, Treat]] = {}


def _treat(group: str | Group, names: str) -> Callable[[Treat], Treat]:
    def keep(treat: Treat) -> Treat:
        TREATED.update((name, (group, treat)) for name in names.split() if name in OPCODES)
        return treat

    return keep


def _simple(
    group: str,
    names: str,
    hook: str,
    count: int,
    how: str,
    extra: Callable[[Site], object] | None = None,
) -> None:
    """Treat instructions with `count` operands, and perhaps one more that their argument says."""

    def treat(site: Site) -> bytes:
        w = site.writer
        ask = w.ask(hook, count)
        if extra is not None:
            ask = w.constant(extra(site)) + w.ask(hook, count + 1)
        if how == "run":
            return ask + w.run()
        if how == "run and drop":
            return ask + w.run() + w.op("POP_TOP")
        if how == "answer":
            return ask
        if how == "first":
            return ask + site.plain
        if how == "then":
            return site.plain + ask
        return w.copies(count) + ask + w.op("POP_TOP") + site.plain

    _treat(group, names)(treat)


def _name(site: Site) -> str:
    return site.code.co_names[site.arg]


_simple("items", "BINARY_SUBSCR", "item", 2, "run")
_simple("stores", "STORE_SUBSCR", "store_item", 3, "run and drop")
_simple("stores", "STORE_ATTR", "store_attribute", 2, "run and drop", _name)
_simple("stores", "STORE_GLOBAL", "store_name", 1, "first", _name)
_simple("deletes", "DELETE_SUBSCR", "delete_item", 2, "run and drop")
_simple("deletes", "DELETE_ATTR", "delete_attribute", 1, "run and drop", _name)
_simple("deletes", "DELETE_GLOBAL", "delete_name", 0, "tell", _name)
_simple("operators", "UNARY_NEGATIVE", "unary", 1, "run", lambda site: "-")
_simple("operators", "UNARY_POSITIVE", "unary", 1, "run", lambda site: "+")
_simple("operators", "UNARY_INVERT", "unary", 1, "run", lambda site: "~")
_simple("iteration", "GET_ITER UNPACK_SEQUENCE UNPACK_EX", "iterate", 1, "first")
_simple("iteration", "GET_YIELD_FROM_ITER", "delegate", 1, "first")
_simple("iteration", "DICT_UPDATE DICT_MERGE", "mapping", 1, "first")
_simple("contexts", "BEFORE_WITH", "enter", 1, "first")
_simple("truth", "TO_BOOL", "truth", 1, "first")
_simple(
    "matching", "MATCH_SEQUENCE MATCH_MAPPING GET_LEN", "match", 1, "tell", lambda s: s.each.name
)
_simple("matching", "CHECK_EXC_MATCH CHECK_EG_MATCH", "caught", 2, "tell")
_simple("matching", "MATCH_KEYS", "match_keys", 2, "tell")
_simple("matching", "MATCH_CLASS", "match_class", 3, "tell", lambda site: site.arg)
_simple("displays", "BUILD_LIST BUILD_TUPLE BUILD_SET BUILD_MAP", "made", 1, "then")
_simple("displays", "BUILD_CONST_KEY_MAP LIST_TO_TUPLE", "made", 1, "then")
_simple("displays", "SET_ADD", "hashed", 1, "tell")
_simple("formatting", "CONVERT_VALUE", "convert", 1, "run", lambda site: " sra"[site.arg])
_simple("formatting", "FORMAT_SIMPLE", "format", 1, "run", lambda site: "")
_simple("formatting", "FORMAT_WITH_SPEC", "format", 2, "run")


@_treat("names", "LOAD_GLOBAL LOAD_NAME LOAD_FROM_DICT_OR_GLOBALS")
def _load_name(site: Site) -> Assembly:
    w = site.writer
    look = site.name() + w.ask("before_name", 1) + w.op("POP_TOP")
    read = site.name() + w.ask("read_name", 2)
    if VERSION >= (3, 13) and site.each.name == "LOAD_GLOBAL" and site.is_called:
        return look + w.op("LOAD_GLOBAL", site.arg & ~1) + read + w.beneath()
    return look + site.plain + read


@_treat("names", "LOAD_DEREF LOAD_CLASSDEREF LOAD_FROM_DICT_OR_DEREF")
def _load_cell(site: Site) -> Assembly:
    w, outer = site.writer, site.cell()
    if outer is None:
        return site.plain
    look = outer + w.ask("before_cell", 2) + w.op("POP_TOP")
    return look + site.plain + outer + w.ask("read_cell", 3)


@_treat("stores", "STORE_DEREF")
def _store_cell(site: Site) -> Assembly:
    outer = site.cell()
    return site.plain if outer is None else outer + site.writer.ask("store_cell", 3) + site.plain


@_treat("deletes", "DELETE_DEREF")
def _delete_cell(site: Site) -> Assembly:
    w, outer = site.writer, site.cell()
    if outer is None:
        return site.plain
    return outer + w.ask("delete_cell", 2) + w.op("POP_TOP") + site.plain


@_treat("attributes", "LOAD_ATTR LOAD_METHOD")
def _attribute(site: Site) -> Assembly:
    w = site.writer
    ask = site.name() + w.ask("attribute", 2) + w.run()
    return ask + w.beneath() if site.is_called else ask


@_treat("attributes", "LOAD_SUPER_ATTR")
def _super_attribute(site: Site) -> Assembly:
    w = site.writer
    ask = site.name() + w.constant(bool(site.arg & 2)) + w.ask("super_attribute", 5) + w.run()
    return ask + w.beneath() if site.is_called else ask


@_treat("items", "BINARY_SLICE")
def _slice(site: Site) -> Assembly:
    w = site.writer
    return w.op("BUILD_SLICE", 2) + w.ask("item", 2) + w.run()


@_treat("stores", "STORE_SLICE")
def _store_slice(site: Site) -> Assembly:
    w = site.writer
    return w.op("BUILD_SLICE", 2) + w.ask("store_item", 3) + w.run() + w.op("POP_TOP")


def _binary_group(site: Site) -> str:
    in_place = site.arg >= len(_BINARY) and site.before().name != "LOAD_CONST"
    return "updates" if in_place else "operators"


@_treat(_binary_group, "BINARY_OP")
def _binary(site: Site) -> Assembly:
    w = site.writer
    place = site.arg % len(_BINARY)
    text = _BINARY[place] if site.arg == place else _BINARY[place] + "="
    return w.constant(text) + w.ask("binary", 3) + w.run()


@_treat("operators", "CALL_INTRINSIC_1")
def _intrinsic(site: Site) -> Assembly:
    w = site.writer
    return w.constant("+") + w.ask("unary", 2) + w.run() if site.arg == 5 else site.plain


@_treat("comparisons", "COMPARE_OP")
def _compare(site: Site) -> Assembly:
    w = site.writer
    number = site.arg if VERSION < (3, 12) else site.arg >> (4 if VERSION < (3, 13) else 5)
    ask = w.constant(_COMPARE[number]) + w.ask("compare", 3) + w.run()
    if VERSION >= (3, 13) and site.arg & 16:  # a jump follows, which wants a bool
        ask += w.ask("truth", 1) + w.to_bool()
    return ask


@_treat("identity", "IS_OP")
def _is(site: Site) -> Assembly:
    w = site.writer
    if site.before().name == "LOAD_CONST":
        return site.plain
    return w.ask("is_", 2) + (w.op("UNARY_NOT") if site.arg else b"")


@_treat("membership", "CONTAINS_OP")
def _contains(site: Site) -> Assembly:
    w = site.writer
    return w.ask("contains", 2) + w.run() + (w.op("UNARY_NOT") if site.arg else b"")


@_treat("iteration", "LIST_EXTEND SET_UPDATE")
def _extend(site: Site) -> Assembly:
    if site.before().name == "LOAD_CONST":  # so displays of constants are made
        return site.plain
    return site.writer.ask("iterate", 1) + site.plain


@_treat(
    "truth",
    "POP_JUMP_FORWARD_IF_FALSE POP_JUMP_FORWARD_IF_TRUE POP_JUMP_BACKWARD_IF_FALSE "
    "POP_JUMP_BACKWARD_IF_TRUE POP_JUMP_IF_FALSE POP_JUMP_IF_TRUE UNARY_NOT",
)
def _test(site: Site) -> Assembly:
    ask = site.writer.ask("truth", 1)
    if VERSION >= (3, 13) or site.before().name in _BOOLS:  # since 3.13, TO_BOOL asks
        ask = b""
    each = site.each
    return ask + site.plain if each.target is None else (ask, each.opcode, each.target, b"")


@_treat("truth", "JUMP_IF_FALSE_OR_POP JUMP_IF_TRUE_OR_POP")
def _test_and_keep(site: Site) -> Assembly:
    w, each = site.writer, site.each
    assert each.target is not None
    jump = "POP_JUMP_FORWARD_IF_FALSE" if "FALSE" in each.name else "POP_JUMP_FORWARD_IF_TRUE"
    ask = w.op("COPY", 1) + w.ask("truth", 1)
    return ask, OPCODES[jump], each.target, w.op("POP_TOP")


@_treat("formatting", "FORMAT_VALUE")
def _format(site: Site) -> Assembly:
    w = site.writer
    has_spec = bool(site.arg & 4)
    convert = b""
    if site.arg & 3:
        convert = w.constant(" sra"[site.arg & 3]) + w.ask("convert", 2) + w.run()
        if has_spec:
            convert = w.op("SWAP", 2) + convert + w.op("SWAP", 2)
    return convert + (b"" if has_spec else w.constant("")) + w.ask("format", 2) + w.run()


@_treat("imports", "IMPORT_NAME")
def _import(site: Site) -> Assembly:
    w = site.writer
    tell = w.copies(2) + site.name() + w.ask("before_import", 3) + w.op("POP_TOP")
    return tell + site.plain + site.name() + w.ask("imported", 2)


@_treat("imports", "IMPORT_FROM")
def _import_from(site: Site) -> Assembly:
    w = site.writer
    return site.plain + w.op("COPY", 2) + site.name() + w.ask("imported_from", 3)


@_treat("displays", "MAP_ADD")
def _map_add(site: Site) -> Assembly:
    w = site.writer
    return w.op("COPY", 2) + w.ask("hashed", 1) + w.op("POP_TOP") + site.plain


@_treat("raising", "RAISE_VARARGS")
def _raise(site: Site) -> Assembly:
    w = site.writer
    swap = w.op("SWAP", 2) if site.arg == 2 else b""
    return swap + w.ask("raised", 1) + w.run() + swap + site.plain if site.arg else site.plain


@_treat("received", "RESUME")
def _resume(site: Site) -> Assembly:
    if site.before().name == "YIELD_VALUE" and site.arg & 3 == 1:
        return site.plain + site.writer.ask("received", 1)
    return site.plain


def _function_group(site: Site) -> str:
    return "calls" if is_comprehension(site.made_code()) else "displays"


@_treat(_function_group, "MAKE_FUNCTION SET_FUNCTION_ATTRIBUTE")
def _make_function(site: Site) -> Assembly:
    """Comprehensions run as images. Other functions keep the user's code until they are called."""
    if site.after().name == "SET_FUNCTION_ATTRIBUTE":
        return site.plain
    hook = "comprehension" if is_comprehension(site.made_code()) else "made"
    return site.plain + site.writer.ask(hook, 1)


@_treat("calls", "CALL CALL_KW")
def _call(site: Site) -> Assembly:
    """Ask what to call; None from the gate means that it wants to see the arguments first.

    On the stack lie a NULL and the function (in this order before 3.13) and the arguments. Decorators
    lie where the NULL would be, and their argument beside them.
    """
    w = site.writer
    named = site.each.name == "CALL_KW"  # the names of keywords lie on top of the arguments
    place = site.arg + named + (1 if site.beside_null and VERSION < (3, 13) else 2)
    keywords: object = ()
    call = site.plain if named else w.call(site.arg)
    if named:
        keywords = site.code.co_consts[site.before().arg]
    elif site.keywords is not None:
        keywords = site.code.co_consts[site.keywords]
        call = w.op("KW_NAMES", site.keywords) + call
    ask = w.op("COPY", place) + w.ask("callee", 1) + w.op("COPY", 1)
    go = w.op("SWAP", place + 1) + w.op("POP_TOP") + call
    show = w.op("POP_TOP") * (1 + named)
    show += w.op("BUILD_TUPLE", site.arg if site.beside_null else site.arg + 1)
    function = 3 if site.beside_null and VERSION >= (3, 13) else 2
    show += w.op("COPY", function) + w.op("SWAP", 2) + w.constant(keywords) + w.ask("call", 3)
    show += w.op("SWAP", function) + w.op("POP_TOP")
    show += w.call(0) if site.beside_null else w.run()
    return ask + w.either("NONE", go, show)


@_treat("calls", "CALL_FUNCTION_EX")
def _call_spread(site: Site) -> Assembly:
    w = site.writer
    mapping = site.arg & 1
    function = 2 if VERSION < (3, 13) else 3
    ask = w.op("COPY", function + mapping) + w.ask("callee", 1) + w.op("COPY", 1)
    go = w.op("SWAP", function + mapping + 1) + w.op("POP_TOP") + site.plain
    # The arguments are collected here, so that what they are iterated from runs from this frame.
    collect = w.op("BUILD_LIST", 0) + w.op("SWAP", 2) + w.op("LIST_EXTEND", 1)
    show = w.op("POP_TOP")
    show += w.op("SWAP", 2) + collect + w.op("SWAP", 2) if mapping else collect + w.constant(None)
    show += w.op("COPY", function + 1) + w.op("SWAP", 3) + w.op("SWAP", 2)
    show += w.ask("call_spread", 3) + w.op("SWAP", function) + w.op("POP_TOP") + w.call(0)
    return ask + w.either("NONE", go, show)


def spread(site: Site) -> bytes:
    """Ask for what a call with ``*args`` iterates over, where it has not been asked before."""
    w = site.writer
    ask = w.ask("iterate", 1)
    return w.op("SWAP", 2) + ask + w.op("SWAP", 2) if site.arg & 1 else ask


def as_it_is(site: Site) -> Assembly:
    """Write an instruction that does not ask the gate."""
    w, each = site.writer, site.each
    if each.target is not None:
        return b"", each.opcode, each.target, b""
    if each.name == "LOAD_GLOBAL" or not site.is_called:
        return site.plain
    # Methods are loaded as one value, which the gate can be asked about, and not as two.
    if each.name == "LOAD_METHOD":
        return w.op("LOAD_ATTR", site.arg) + w.beneath()
    return w.op(each.name, site.arg & ~1) + w.beneath()


#: Why the other instructions stay as they are.
KEPT: dict[str, str] = {
    name: why
    for why, names in {
        "moves what the function holds": (
            "CACHE COPY EXTENDED_ARG LOAD_CONST LOAD_FAST LOAD_FAST_AND_CLEAR LOAD_FAST_CHECK "
            "LOAD_FAST_LOAD_FAST NOP POP_TOP PUSH_NULL STORE_FAST STORE_FAST_LOAD_FAST "
            "STORE_FAST_STORE_FAST SWAP DELETE_FAST LOAD_CLOSURE MAKE_CELL COPY_FREE_VARS"
        ),
        "goes on elsewhere; what it tests is None, or a truth that was asked for before": (
            "JUMP_BACKWARD JUMP_BACKWARD_NO_INTERRUPT JUMP_FORWARD POP_JUMP_BACKWARD_IF_NONE "
            "POP_JUMP_BACKWARD_IF_NOT_NONE POP_JUMP_FORWARD_IF_NONE "
            "POP_JUMP_FORWARD_IF_NOT_NONE POP_JUMP_IF_NONE POP_JUMP_IF_NOT_NONE"
        ),
        "takes the next value of an iterator that passed the gate": "FOR_ITER END_FOR",
        "ends the function, or hands a value to its caller": (
            "RETURN_VALUE RETURN_CONST RETURN_GENERATOR YIELD_VALUE INTERPRETER_EXIT RESERVED"
        ),
        "hands on what a generator that passed the gate yields": "SEND END_SEND CLEANUP_THROW",
        "handles an exception that is on its way": (
            "POP_EXCEPT PREP_RERAISE_STAR PUSH_EXC_INFO RERAISE "
            "CALL_INTRINSIC_2 LOAD_ASSERTION_ERROR"
        ),
        "calls the exit of a context that passed the gate": "WITH_EXCEPT_START",
        "makes a value of parts whose text or limits were asked for before": (
            "BUILD_SLICE BUILD_STRING LIST_APPEND"
        ),
        "belongs to the body of a class: its names are not outside": (
            "LOAD_BUILD_CLASS LOAD_LOCALS SETUP_ANNOTATIONS STORE_NAME DELETE_NAME"
        ),
        "belongs to a call, which asks the gate": "KW_NAMES PRECALL",
        "occurs in asynchronous functions alone, which run as they are": (
            "ASYNC_GEN_WRAP BEFORE_ASYNC_WITH END_ASYNC_FOR GET_AITER GET_ANEXT GET_AWAITABLE"
        ),
        "occurs in modules alone": "IMPORT_STAR PRINT_EXPR",
        "is put there by the interpreter while it runs": "ENTER_EXECUTOR EXIT_INIT_CHECK",
    }.items()
    for name in names.split()
}
