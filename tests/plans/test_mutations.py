"""The tests bite: each guard of the gate, the point, the analyser and the end station, taken out, fails a test."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

#: Takes every guard of a module out in turn and says which removals no test noticed. What a guard is depends on the
#: kinds asked for: a statement that yields a reason, raises, calls something for what it does, or keeps what was found,
#: what was lost and what is under way; an operand of an `and`; a condition of an early `return`. What is taken out
#: leaves `pass`, or True. A removal counts as noticed only when a test fails, not when none can be run.
SCRIPT = """
import ast, io, contextlib, importlib, json, sys, types
import ophyd  # here, not within a test: what its own imports warn of is no error of ours
import pytest

module_name, source_path, kinds, tests = sys.argv[1], sys.argv[2], sys.argv[3].split(), sys.argv[4:]
source = open(source_path).read()

def is_call(value):
    # words for a log are no guard, nor is what makes the object, nor a pause between two looks
    no_guard = ("logger.", "super()", "time.sleep")
    return isinstance(value, ast.Call) and not ast.unparse(value.func).startswith(no_guard)

KEPT = ("self.lost", "self.region", "self.told", "self._arrived", "self._axes", "self._outstanding", "attempt.",
        "self._approach", "self.approach")

def is_kept(node):
    target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
    return isinstance(node, ast.Assign | ast.AugAssign) and ast.unparse(target).lstrip("(").startswith(KEPT)

IS = {
    "yield": lambda node: isinstance(node, ast.Expr) and isinstance(node.value, ast.Yield | ast.YieldFrom),
    "raise": lambda node: isinstance(node, ast.Raise),
    "call": lambda node: isinstance(node, ast.Expr) and is_call(node.value),
    "kept": is_kept,
    "return": lambda node: isinstance(node, ast.If) and isinstance(node.body[-1], ast.Return),
}

def mutants():
    # Yields what is taken out, and the module without it.
    if "and" in kinds:
        number = sum(isinstance(node, ast.BoolOp) for node in ast.walk(ast.parse(source)))
        for index in range(number):
            operands = 1
            at = 0
            while at < operands:
                tree = ast.parse(source)
                node = [node for node in ast.walk(tree) if isinstance(node, ast.BoolOp)][index]
                operands = len(node.values) if isinstance(node.op, ast.And) else 0
                if at < operands:
                    text = f"line {node.lineno}, operand: {ast.unparse(node.values[at])}"
                    node.values[at] = ast.copy_location(ast.Constant(True), node.values[at])
                    yield text, tree
                at += 1
    number = sum(any(IS[kind](node) for kind in kinds if kind != "and") for node in ast.walk(ast.parse(source)))
    for index in range(number):
        tree = ast.parse(source)
        node = [node for node in ast.walk(tree) if any(IS[kind](node) for kind in kinds if kind != "and")][index]
        text = f"line {node.lineno}: {ast.unparse(node).splitlines()[0]}"
        yield text, Remove(node).visit(tree)

class Remove(ast.NodeTransformer):
    def __init__(self, target): self.target = target
    def generic_visit(self, node):
        return ast.copy_location(ast.Pass(), node) if node is self.target else super().generic_visit(node)

class FirstFailure:
    name = None
    def pytest_runtest_logreport(self, report):
        if report.failed and self.name is None:
            self.name = report.nodeid.rpartition("::")[2]

def missed_by(tree):
    # Returns the name of the first test that fails, or None.
    mutant = types.ModuleType(module_name)
    mutant.__file__ = source_path
    sys.modules[module_name] = mutant
    package, _, name = module_name.rpartition(".")
    exec(compile(ast.fix_missing_locations(tree), source_path, "exec"), mutant.__dict__)
    setattr(importlib.import_module(package), name, mutant)
    for imported in [name for name in sys.modules if name.startswith("tests.")]:
        del sys.modules[imported]
    failure = FirstFailure()
    with contextlib.redirect_stdout(io.StringIO()):
        status = pytest.main(["-x", "-q", "--timeout=20", "-p", "no:cacheprovider", *tests], plugins=[failure])
    assert (status == 0) == (failure.name is None), f"pytest ended with {status}"
    return failure.name

assert missed_by(ast.parse(source)) is None, "the tests fail without any mutation"
print(json.dumps([(text, missed_by(tree)) for text, tree in mutants()]))
"""


#: Module, what its guards are, the tests that must miss each, and their number; those that take longest first.
MODULES = (
    ("devices.end_station", "raise call kept return and", ["tests/devices/test_end_station.py"], 65),
    ("devices.analyser", "raise call kept and", ["tests/devices/test_analyser.py"], 38),
    ("plans.gate", "yield", ["tests/plans/test_gate.py"], 34),
    ("devices.exposure_clock", "raise call kept return and", ["tests/devices/test_exposure_clock.py"], 12),
    ("devices.approach", "call", ["tests/devices/test_approach.py"], 2),
    ("plans.top_up", "raise return and", ["tests/plans/test_top_up.py", "-k", "not pause"], 8),
    ("devices.analyser_limits", "raise yield return and", ["tests/devices/test_analyser_limits.py"], 19),
    ("plans.sub_frames", "return", ["tests/plans/test_sub_frames.py", "-k", "not interrupted"], 4),
    ("devices.analyser_pvs", "raise", ["tests/devices/test_analyser_pvs.py"], 2),
)


def mutate(module, kinds, tests):
    path = ROOT / (module.replace(".", "/") + ".py")
    return subprocess.run(
        [sys.executable, "-c", SCRIPT, f"microarpes.{module}", str(path), kinds, *tests],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )


@pytest.fixture(scope="module")
def processes():
    """Two at a time, for a mutant that hangs is found by waiting."""
    with ThreadPoolExecutor(2) as pool:
        yield {module: pool.submit(mutate, module, kinds, tests) for module, kinds, tests, _ in MODULES}


@pytest.mark.parametrize(("module", "guards"), [(module, guards) for module, _, _, guards in MODULES])
def test_every_guard_that_is_taken_out_is_missed_by_a_test(processes, module, guards):
    done = processes[module].result()
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert [guard for guard, test in found if test is None] == []
    assert len(found) == guards
