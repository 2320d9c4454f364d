"""Takes the guards of modules out, one at a time, and says which test misses each: ``python tests/mutants.py ROWS``.

One session of pytest collects the tests once. A mutant is made in place: the functions of the module, wherever they are
bound, get the code they have without a guard, and the tests run until one fails.
"""

from __future__ import annotations

import ast
import contextlib
import gc
import importlib
import io
import json
import os
import sys
from collections import Counter
from pathlib import Path
from types import CodeType, FunctionType

import pytest

#: Calls that guard nothing: words for a log, what makes the object, a pause between two looks.
NO_GUARD = ("logger.", "super()", "time.sleep")
#: What is kept of what was found, what was lost and what is under way.
KEPT = (
    "self.lost", "self.region", "self.told", "self._arrived", "self._axes", "self._outstanding", "attempt.",
    "self._approach", "self.approach",
)  # fmt: skip

#: Replaces the seconds of this name within which the tests expect what needs no hardware: some mutants never do it.
SOON = 2.0


def kind_of(parent, node):
    """Return which kind of guard a node is and what to call it, or None.

    A statement that yields a reason, raises, calls something for what it does, or keeps something; the condition of an
    early return; an operand of an ``and``.
    """
    match node:
        case ast.Expr(value=ast.Yield() | ast.YieldFrom()):
            return "yield", "yield"
        case ast.Raise():
            return "raise", "raise"
        case ast.Expr(value=ast.Call(func=func)) if not ast.unparse(func).startswith(NO_GUARD):
            return "call", ast.unparse(func).rpartition(".")[2]
        case ast.If(body=[*_, ast.Return()]):
            return "return", "return"
        case ast.Assign(targets=[target, *_]) | ast.AugAssign(target=target):
            text = ast.unparse(target).lstrip("(")
            return ("kept", text) if text.startswith(KEPT) else None
        case _ if isinstance(parent, ast.BoolOp) and isinstance(parent.op, ast.And):
            return "and", ast.unparse(node)
    return None


def places(node, function=""):
    """Yield the list each node below this one is in, its place there, its parent, and the function around it."""
    if isinstance(node, ast.FunctionDef):
        function = node.name
    for _, value in ast.iter_fields(node):
        listed = isinstance(value, list)
        for place, child in enumerate(value if listed else [value]):
            if isinstance(child, ast.AST):
                if listed:
                    yield value, place, node, function
                yield from places(child, function)


def guards(tree, kinds):
    """Yield the name of each guard, by function and count, the list it is in and its place there."""
    seen = Counter()
    for siblings, place, parent, function in places(tree):
        kind, text = kind_of(parent, siblings[place]) or (None, "")
        if kind in kinds:
            name = f"{function} {text}"
            seen[name] += 1
            yield f"{name} {seen[name]}" if seen[name] > 1 else name, siblings, place


def codes(code):
    """Yield the code of every function within one, by what names it in two versions of a module."""
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield (inner.co_qualname, inner.co_firstlineno), inner
            yield from codes(inner)


def left_of(guard):
    """Return what stays of a guard: True of an operand, of a statement nothing, or that its function is a generator."""
    if isinstance(guard, ast.expr):
        return ast.Constant(True)
    is_yield = isinstance(guard, ast.Expr) and isinstance(guard.value, ast.Yield | ast.YieldFrom)
    return ast.Expr(ast.YieldFrom(ast.Tuple([], ast.Load()))) if is_yield else ast.Pass()


class Mutable:
    """A module whose functions can be given other code; made before a test leaves some behind that bind variables."""

    def __init__(self, name):
        self.path = importlib.import_module(name).__file__
        self.tree = ast.parse(Path(self.path).read_text())
        made = [found for found in gc.get_objects() if type(found) is FunctionType]
        self.whole = [(found, found.__code__) for found in made if found.__code__.co_filename == self.path]

    @contextlib.contextmanager
    def without(self, siblings, place):
        """Leave of what is at a place of a list of the tree only what must stay there."""
        guard = siblings[place]
        siblings[place] = ast.fix_missing_locations(ast.copy_location(left_of(guard), guard))
        mutant = dict(codes(compile(self.tree, self.path, "exec", dont_inherit=True)))
        siblings[place] = guard
        changed = False
        try:
            for function, code in self.whole:
                function.__code__ = mutant[code.co_qualname, code.co_firstlineno]
                changed |= function.__code__ != code
            if not changed:
                raise LookupError(f"{self.path}, line {guard.lineno}: not in a function, it cannot be taken out")
            yield
        finally:
            for function, code in self.whole:
                function.__code__ = code


class Mutation:
    """Plugin of pytest that runs the tests of each row, in the order of their file, for each of its mutants.

    Parameters
    ----------
    rows : list
        Of module, kinds of its guards, file of its tests, and a word in the names of those that are left out or "".
    """

    def __init__(self, rows):
        self.rows = rows
        #: By module and name of the guard, the name of the first test that misses it or None.
        self.missed_by = {}
        self.failed = None

    def pytest_runtest_logreport(self, report):
        if report.failed and self.failed is None:
            self.failed = report.nodeid.rpartition("::")[2].partition("[")[0]

    def first_failure(self, items):
        self.failed = None
        for item in items:
            item.ihook.pytest_runtest_protocol(item=item, nextitem=None)
            if self.failed is not None:
                break
        return self.failed

    def check_whole(self, items):
        if not items or self.first_failure(items):
            raise RuntimeError(f"without any mutation fails {self.failed} of {len(items)} tests")

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session):
        if session.testsfailed:
            raise session.Interrupted("the tests could not be collected")
        mutables = [Mutable(f"microarpes.{row[0]}") for row in self.rows]
        for mutable, (module, kinds, file, left_out) in zip(mutables, self.rows, strict=True):
            of_file = [item for item in session.items if str(item.path).endswith(file)]
            items = [item for item in of_file if not left_out or left_out not in item.name]
            for item in items:
                item.module.SOON = SOON
            self.check_whole(items)
            found = self.missed_by[module] = {}
            for name, siblings, place in guards(mutable.tree, kinds.split()):
                with mutable.without(siblings, place):
                    found[name] = self.first_failure(items)
            # No mutant left anything behind that could have failed the tests of the next.
            self.check_whole(items)
        return True


def main(rows):
    mutation = Mutation(rows)
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    options = ["-o", "addopts=", "--import-mode=importlib", "-p", "pytest_timeout", "-p", "no:cacheprovider"]
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        status = pytest.main([*options, "--timeout=20", "--tb=native", *(row[2] for row in rows)], plugins=[mutation])
    if status not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        sys.exit(said.getvalue()[-3000:])
    print(json.dumps(mutation.missed_by))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
