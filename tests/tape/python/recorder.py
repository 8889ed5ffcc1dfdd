"""A gate that records what a function reads, as places with what lay there, and its effects.

It stands for what a compiler of traces would note, in the fewest words: `stale` tells whether anything
that was read is different now, without running the user's code.
"""

import sys
from functools import partial
from types import BuiltinFunctionType, FunctionType, MethodType

import pytest

from tapegrad.tape.python import FULL, PLAIN, Images, Imaging, chain, constant
from tapegrad.tape.python.places import ABSENT, Place, stored

CONTAINERS = (list, tuple, dict, set, frozenset)
VALUES = PLAIN | {type(ABSENT)}


def _shown(value):
    """What of a value is compared: plain values and containers by what they are, others by identity."""
    kind = type(value)
    if kind in VALUES:
        return kind, repr(value)
    if kind in (list, tuple):
        return kind, *map(_shown, value)
    if kind is dict:
        return kind, *((_shown(k), _shown(v)) for k, v in value.items())
    if kind in (set, frozenset):
        return kind, frozenset(map(_shown, value))
    return kind, id(value)


def _kind(value):
    return (type(value), repr(value)) if type(value) in VALUES else (type(value), id(value))


class Recorder(Imaging):
    images = Images(FULL)

    def __init__(self):
        self.places = {}
        self.reads = {}
        self.effects = []

    def run(self, function, /, *args):
        for i, value in enumerate(args):
            self.outside(value, Place.argument(args, i))
        self._defaults(function)
        return super().run(function, *args)

    # What is known of values

    def outside(self, value, place, how=_kind):
        """Note that `value` was read at `place`, and how much of it."""
        self.reads.setdefault(str(place), (place, how, how(value)))
        if type(value) not in VALUES:
            self.places.setdefault(id(value), (value, place))
        return value

    def place(self, value):
        return self.places.get(id(value), (None, None))[1]

    def whole(self, value):
        """Note all that an outside container holds."""
        place = self.place(value)
        if place is not None and type(value) in CONTAINERS:
            self.reads["all of " + str(place)] = (place, _shown, _shown(value))
            for key, part in value.items() if type(value) is dict else ():
                self.outside(part, place.item(key))
            for key, part in enumerate(value) if type(value) in (list, tuple) else ():
                self.outside(part, place.item(key))
        return value

    def effect(self, what, owner):
        place = self.place(owner)
        if place is not None:
            self.effects.append(f"{what} {place}")

    def stale(self):
        return [name for name, (place, how, was) in self.reads.items() if how(place.read()) != was]

    # Calls

    def _defaults(self, function):
        place = self.place(function)
        if type(function) is FunctionType and place is not None:
            if function.__defaults__:
                all_of = Place(place, 0, lambda f, _: f.__defaults__, f"{place} defaults")
                self.outside(function.__defaults__, all_of, _shown)
            if function.__kwdefaults__:
                all_of = Place(place, 0, lambda f, _: f.__kwdefaults__, f"{place} keyword defaults")
                self.outside(function.__kwdefaults__, all_of, _shown)

    def callee(self, function):
        self._defaults(function.__func__ if type(function) is MethodType else function)
        if type(function) is partial and (place := self.place(function)) is not None:
            parts = Place(place, 0, lambda p, _: (p.func, p.args, p.keywords), f"parts of {place}")
            self.outside((function.func, function.args, function.keywords), parts, _shown)
        what = super().callee(function)
        return None if what is function and type(function) in (BuiltinFunctionType, type) else what

    def call_with(self, function, args, kwargs):
        owner = getattr(function, "__self__", None)
        if type(owner) in CONTAINERS and self.place(owner) is not None:
            if function.__name__ in ("append", "update", "add", "pop", "setdefault", "clear"):
                self.effect("change", owner)
            self.whole(owner)
        for value in (*args, *kwargs.values()):
            self.whole(value)
        return super().call_with(function, args, kwargs)

    # Reads

    def _names(self):
        frame = sys._getframe(2)
        return frame.f_globals, frame.f_locals if frame.f_locals is not frame.f_globals else {}

    def before_name(self, name):
        names, own = self._names()
        if name not in own:
            place = Place.name(names, name)
            if place.read() is ABSENT:
                self.outside(ABSENT, place)

    def read_name(self, value, name):
        names, own = self._names()
        return value if name in own else self.outside(value, Place.name(names, name))

    def before_cell(self, cell, name):
        place = Place.cell(cell, name)
        if place.read() is ABSENT:
            self.outside(ABSENT, place)

    def read_cell(self, value, cell, name):
        return self.outside(value, Place.cell(cell, name))

    def attribute(self, owner, name):
        place = self.place(owner)
        ask = super().attribute(owner, name)
        if place is None:
            return ask
        held = stored(owner, name)
        self.outside(held, place.attribute(name))
        return chain(ask, lambda value: constant(self._known(value, held, place.attribute(name))))

    def _known(self, value, held, place):
        if type(value) is MethodType and value.__func__ is held:
            return value
        return self.outside(value, place) if value is held else value

    def item(self, owner, key):
        place = self.place(owner)
        ask = super().item(owner, key)
        if place is None or type(owner) not in (list, tuple, dict):
            return ask
        if type(key) is slice:
            self.whole(owner)
            return ask
        self.outside(place.item(key).read(), place.item(key))
        return chain(ask, lambda value: constant(self.outside(value, place.item(key))))

    def compare(self, a, b, symbol):
        self.whole(a), self.whole(b)
        return super().compare(a, b, symbol)

    def contains(self, item, container):
        self.whole(container)
        return super().contains(item, container)

    def truth(self, value):
        self.whole(value)
        return super().truth(value)

    def iterate(self, value):
        self.whole(value)
        return super().iterate(value)

    def mapping(self, value):
        self.whole(value)
        return super().mapping(value)

    def format(self, value, spec):
        self.whole(value)
        return super().format(value, spec)

    def match(self, subject, instruction):
        self.whole(subject)

    def match_class(self, subject, cls, names, count):
        place = self.place(subject)
        if place is not None:
            own = stored(cls, "__match_args__")
            for name in (*(own[:count] if own is not ABSENT else ()), *names):
                self.outside(stored(subject, name), place.attribute(name))

    # Effects

    def store_attribute(self, value, owner, name):
        self.effect(f"store {name} in", owner)
        return super().store_attribute(value, owner, name)

    def store_item(self, value, owner, key):
        self.effect(f"store {key!r} in", owner)
        return super().store_item(value, owner, key)

    def store_name(self, value, name):
        self.effects.append(f"store global {name}")
        return value

    def store_cell(self, value, cell, name):
        self.effects.append(f"store variable {name}")
        return value

    def delete_attribute(self, owner, name):
        self.effect(f"delete {name} in", owner)
        return super().delete_attribute(owner, name)

    def delete_item(self, owner, key):
        self.effect(f"delete {key!r} in", owner)
        return super().delete_item(owner, key)


def program(reads, *, change=None, effects=()):
    """A case: a maker of (function, arguments, change), and what the gate is to see."""

    def keep(make):
        PROGRAMS.append(pytest.param(make, reads, list(effects), id=make.__name__))
        return make

    return keep


PROGRAMS = []


class Box:
    size = 1

    def __init__(self, **values):
        self.__dict__.update(values)

    def twice(self):
        return self.size * 2

    @property
    def half(self):
        return self.size / 2

    @classmethod
    def sized(cls):
        return cls.size
