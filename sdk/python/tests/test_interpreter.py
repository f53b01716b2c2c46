"""How the interpreter of a process that answers is set."""

from __future__ import annotations

import subprocess
import sys

from openflagship.serving.interpreter import SWITCH_SECONDS

# In an interpreter of its own: what is frozen here would stay frozen for the other tests.
_SETTLED = """
import gc, sys, weakref
from openflagship.serving import interpreter

class Thing:
    pass

gc.disable()
def circle():
    thing = Thing()
    thing.itself = thing
    return thing

at_once, later = circle(), circle()
first_seen, then_seen = weakref.ref(at_once), weakref.ref(later)
del at_once
interpreter.settle()
print(first_seen() is None, then_seen() is not None)
del later
first = gc.get_freeze_count()
loaded = [[number] for number in range(10_000)]
interpreter.settle()
interpreter.switch_often()
print(then_seen() is None, first > 1_000, gc.get_freeze_count() - first > 9_000, len(gc.get_objects()) < 5_000)
print(sys.getswitchinterval())
"""


def test_settled__what_is_loaded_is_passed_over_and_what_is_garbage_is_gone() -> None:
    found = subprocess.run([sys.executable, "-c", _SETTLED], capture_output=True, text=True, timeout=60, check=True)
    before, after, switched = found.stdout.split("\n")[:3]
    assert before == "True True", found.stdout
    assert after == "True True True True", found.stdout
    assert float(switched) == SWITCH_SECONDS
