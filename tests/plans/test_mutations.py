"""The tests bite: each guard of the gate, of the point and of the axis, taken out in turn, makes a test fail."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

#: Takes every guard of a module out in turn and says which removals no test noticed. A guard is a `yield` of a reason
#: or a `raise`; taking it out leaves `pass`.
SCRIPT = """
import ast, io, contextlib, importlib, json, sys, types
import pytest

module_name, source_path, kind, tests = sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:]
source = open(source_path).read()

def is_guard(node):
    if kind == "yield":
        return isinstance(node, ast.Expr) and isinstance(node.value, ast.Yield)
    return isinstance(node, ast.Raise)

guards = [node for node in ast.walk(ast.parse(source)) if is_guard(node)]
lines = sorted({node.lineno for node in guards})

class Remove(ast.NodeTransformer):
    def __init__(self, line): self.line = line
    def generic_visit(self, node):
        super().generic_visit(node)
        if is_guard(node) and node.lineno == self.line:
            return ast.copy_location(ast.Pass(), node)
        return node

def outcome(line):
    tree = ast.fix_missing_locations(Remove(line).visit(ast.parse(source)))
    mutant = types.ModuleType(module_name)
    mutant.__file__ = source_path
    sys.modules[module_name] = mutant
    package, _, name = module_name.rpartition(".")
    exec(compile(tree, source_path, "exec"), mutant.__dict__)
    setattr(importlib.import_module(package), name, mutant)
    for imported in [name for name in sys.modules if name.startswith("tests.")]:
        del sys.modules[imported]
    with contextlib.redirect_stdout(io.StringIO()):
        return pytest.main(["-x", "-q", "-p", "no:cacheprovider", *tests])

assert outcome(-1) == 0, "the tests fail without any mutation"
survivors = {line: source.splitlines()[line - 1].strip() for line in lines if outcome(line) == 0}
print(json.dumps({"guards": len(lines), "survivors": survivors}))
"""


@pytest.mark.parametrize(
    ("module", "kind", "tests", "at_least"),
    [
        ("plans.gate", "yield", ["tests/plans/test_gate.py"], 20),
    ],
)
def test_every_guard_that_is_taken_out_is_missed_by_a_test(module, kind, tests, at_least):
    path = ROOT / (module.replace(".", "/") + ".py")
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, f"microarpes.{module}", str(path), kind, *tests],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["guards"] >= at_least
    assert found["survivors"] == {}
