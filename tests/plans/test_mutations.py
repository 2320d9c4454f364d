"""The tests bite: each guard of the gate, of the point and of the axis, taken out in turn, makes a test fail."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

#: Takes every guard of a module out in turn and says which removals no test noticed. What a guard is depends on the
#: kinds asked for: a statement that yields a reason, raises, calls something for what it does, or marks a loss; an
#: operand of an `and`; a condition of an early `return`. What is taken out leaves `pass`, or True.
SCRIPT = """
import ast, io, contextlib, importlib, json, sys, types
import pytest

module_name, source_path, kinds, tests = sys.argv[1], sys.argv[2], sys.argv[3].split(), sys.argv[4:]
source = open(source_path).read()

def is_call(value):
    # words for a log are no guard, nor is what makes the object
    return isinstance(value, ast.Call) and not ast.unparse(value.func).startswith(("logger.", "super()"))

def is_loss(node):
    return isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) in ("self.lost", "self.region")

IS = {
    "yield": lambda node: isinstance(node, ast.Expr) and isinstance(node.value, ast.Yield | ast.YieldFrom),
    "raise": lambda node: isinstance(node, ast.Raise),
    "call": lambda node: isinstance(node, ast.Expr) and is_call(node.value),
    "loss": is_loss,
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

def outcome(tree):
    mutant = types.ModuleType(module_name)
    mutant.__file__ = source_path
    sys.modules[module_name] = mutant
    package, _, name = module_name.rpartition(".")
    exec(compile(ast.fix_missing_locations(tree), source_path, "exec"), mutant.__dict__)
    setattr(importlib.import_module(package), name, mutant)
    for imported in [name for name in sys.modules if name.startswith("tests.")]:
        del sys.modules[imported]
    with contextlib.redirect_stdout(io.StringIO()):
        return pytest.main(["-x", "-q", "-p", "no:cacheprovider", *tests])

assert outcome(ast.parse(source)) == 0, "the tests fail without any mutation"
found = [(text, outcome(tree)) for text, tree in mutants()]
print(json.dumps({"guards": len(found), "survivors": [text for text, status in found if status == 0]}))
"""


@pytest.mark.parametrize(
    ("module", "kinds", "tests", "at_least"),
    [
        ("plans.gate", "yield", ["tests/plans/test_gate.py"], 25),
        ("plans.top_up", "raise return and", ["tests/plans/test_top_up.py", "-k", "not pause"], 8),
        ("plans.sub_frames", "return", ["tests/plans/test_sub_frames.py", "-k", "not interrupted"], 2),
        ("devices.analyser", "raise call loss", ["tests/devices/test_exposure.py"], 12),
        ("devices.end_station", "raise call loss", ["tests/devices/test_exposure.py"], 25),
    ],
)
def test_every_guard_that_is_taken_out_is_missed_by_a_test(module, kinds, tests, at_least):
    path = ROOT / (module.replace(".", "/") + ".py")
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, f"microarpes.{module}", str(path), kinds, *tests],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["guards"] >= at_least
    assert found["survivors"] == []
