"""Gates under which the tests run images."""

from tapegrad.tape.python import FULL, LIGHT, Images, Imaging
from tapegrad.tape.python.gate import Gate


class Full(Imaging):
    """All Python runs as images that ask about everything."""

    images = Images(FULL)


class Watching(Imaging):
    """Light images that are asked what they ask while a gate is watching."""

    def run(self, function, /, *args, **kwargs):
        self.watch()
        try:
            return super().run(function, *args, **kwargs)
        finally:
            self.unwatch()


class Silent(Gate):
    """The image of one function, under the gate that does nothing."""

    level = LIGHT

    def callee(self, function):
        return function

    def run(self, function, /, *args, **kwargs):
        return super().run(Images(self.level).image(function), *args, **kwargs)


class SilentFull(Silent):
    level = FULL


class Showing(Full):
    """A gate that wants to see the arguments of every call."""

    def callee(self, function):
        return None

    def call_with(self, function, args, kwargs):
        what = super().callee(function)
        if what is None:
            return super().call_with(function, args, kwargs)
        return Gate.call_with(self, what, args, kwargs)


GATES = [Imaging, Watching, Full, Silent, SilentFull]
