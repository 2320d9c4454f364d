"""The tests of axis and sample frame bite: each guard, taken out in turn, makes the test named here fail."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

#: Guards of a module, by function and count, and the first test that misses each.
AXIS = {
    "check_units raise": "test_another_unit_than_the_configuration_says_is_refused",
    "check_value raise": "test_what_is_no_number_is_refused",
    "check_value check_units": "test_another_unit_than_the_configuration_says_is_refused",
    "check_value raise 2": "test_a_record_that_is_away_is_not_moved",
    "check_value raise 3": "test_a_request_beyond_a_soft_limit_is_refused",
    "check_value raise 4": "test_a_request_whose_backlash_approach_leaves_the_limits_is_refused",
    "check_value raise 5": "test_an_axis_that_somebody_paused_is_refused",
    "set_velocity forget": "test_a_move_is_given_the_time_that_a_new_velocity_takes",
    "set_velocity raise": "test_a_velocity_that_the_record_does_not_take_is_refused",
    "set check_value": "test_what_is_no_number_is_refused",
    "set add_callback": "test_a_limit_changed_during_a_move_ends_it_at_once_and_stops_the_axis",
    "arrived finish": "test_a_move_ends_well_within_the_tolerance_and_badly_beyond_it",
    "arrived finish 2": "test_a_put_that_ends_because_its_connection_is_lost_is_no_arrival",
    "arrived _judge": "test_a_move_ends_well_within_the_tolerance_and_badly_beyond_it",
    "_stop_if_failed stop": "test_a_limit_changed_during_a_move_ends_it_at_once_and_stops_the_axis",
    "_on_connection forget": "test_after_a_lost_connection_all_settings_are_read_again_before_a_move",
    "_on_connection finish": "test_a_connection_lost_during_a_move_ends_it_at_once",
    "_on_limits finish": "test_a_limit_changed_during_a_move_ends_it_at_once_and_stops_the_axis",
    "_judge raise": "test_an_axis_still_moving_when_its_put_completes_has_failed",
    "_judge raise 2": "test_an_invalid_readback_is_no_arrival",
    "_judge raise 3": "test_a_move_ends_well_within_the_tolerance_and_badly_beyond_it",
    "_judge raise 4": "test_a_limit_changed_unheard_during_a_move_is_seen_at_its_end",
    "_why append": "test_a_move_that_ended_elsewhere_says_why",
    "_why append 2": "test_a_move_that_ended_elsewhere_says_why",
    "_why append 3": "test_a_move_that_ended_elsewhere_says_why",
    "set watch": "test_a_slow_backlash_approach_is_given_its_time",
}

FRAME = {
    "set _check": "test_a_place_out_of_reach_is_refused_by_axis_and_limit_before_anything_moves",
    "_asked_by raise": "test_what_cannot_be_asked_for_is_refused",
    "_asked_by raise 2": "test_a_second_request_under_way_is_refused",
    "check_value _check": "test_a_place_out_of_reach_is_refused_by_axis_and_limit_before_anything_moves",
    "_check raise": "test_a_place_out_of_reach_is_refused_by_axis_and_limit_before_anything_moves",
    "_check check_value": "test_a_place_out_of_reach_is_refused_by_axis_and_limit_before_anything_moves",
    "_end finish": "test_at_the_reference_angles_a_spot_is_reached_by_x_and_y_alone",
    "_check append": "test_a_place_out_of_reach_is_refused_by_axis_and_limit_before_anything_moves",
    "begin add_callback": "test_at_the_reference_angles_a_spot_is_reached_by_x_and_y_alone",
    "_judge raise": "test_an_invalid_readback_of_an_axis_at_rest_is_no_arrival",
    "_end _judge": "test_a_spot_that_is_off_though_every_axis_is_within_its_own_tolerance_has_failed",
    "stop stop": "test_a_stop_reaches_every_axis",
    "_count_down _stop_others": "test_one_axis_that_fails_stops_the_others_and_is_named",
    "_stop_others stop": "test_one_axis_that_fails_stops_the_others_and_is_named",
    "_judge raise 2": "test_a_spot_that_is_off_though_every_axis_is_within_its_own_tolerance_has_failed",
}
MODULES = {"axis": AXIS, "sample_frame": FRAME}

#: Takes the guards of a module out in turn, leaving `pass`, and prints which test failed first. A guard is a `raise`,
#: or a call that checks, watches, ends or stops a move.
SCRIPT = """
import ast, io, contextlib, importlib, json, sys, types
import pytest

module_name, source_path, *tests = sys.argv[1:]
source = open(source_path).read()
CALLS = set("check_units check_value forget _judge add_callback stop append _check _stop_others watch".split())

def guard(node):
    if isinstance(node, ast.Raise):
        return "raise"
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        name = ast.unparse(node.value.func).rpartition(".")[2]
        return name if name in CALLS or (name == "finish" and len(node.value.args) == 2) else None
    return None

found = {}
def collect(node, function):
    for child in ast.iter_child_nodes(node):
        if guard(child):
            name, count = f"{function} {guard(child)}", 1
            while name in found:
                count += 1
                name = f"{function} {guard(child)} {count}"
            found[name] = child.lineno, type(child)
        collect(child, child.name if isinstance(child, ast.FunctionDef) else function)

collect(ast.parse(source), "")

class Remove(ast.NodeTransformer):
    def __init__(self, place): self.place = place
    def generic_visit(self, node):
        super().generic_visit(node)
        if guard(node) and (node.lineno, type(node)) == self.place:
            return ast.copy_location(ast.Pass(), node)
        return node

class FirstFailure:
    name = None
    def pytest_runtest_logreport(self, report):
        if report.failed and self.name is None:
            self.name = report.nodeid.rpartition("::")[2].partition("[")[0]

def outcome(place):
    tree = ast.fix_missing_locations(Remove(place).visit(ast.parse(source)))
    mutant = types.ModuleType(module_name)
    mutant.__file__ = source_path
    sys.modules[module_name] = mutant
    package, _, name = module_name.rpartition(".")
    exec(compile(tree, source_path, "exec"), mutant.__dict__)
    setattr(importlib.import_module(package), name, mutant)
    for imported in [name for name in sys.modules if name.startswith("tests.")]:
        del sys.modules[imported]
    failure = FirstFailure()
    with contextlib.redirect_stdout(io.StringIO()):
        pytest.main(["-x", "-q", "-p", "no:cacheprovider", *tests], plugins=[failure])
    return failure.name

assert outcome(None) is None, "the tests fail without any mutation"
print(json.dumps({name: outcome(place) for name, place in found.items()}))
"""


def mutate(name):
    command = [sys.executable, "-c", SCRIPT, f"microarpes.devices.{name}", f"devices/{name}.py"]
    command.append(f"tests/devices/test_{name}.py")
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def killers():
    """The tests that missed each guard of a module, by its name."""
    with ThreadPoolExecutor(len(MODULES)) as pool:
        yield {module: pool.submit(mutate, module) for module in MODULES}


@pytest.mark.parametrize("module", MODULES)
def test_every_guard_is_in_the_table(killers, module):
    assert set(killers[module].result()) == set(MODULES[module])


@pytest.mark.parametrize(("module", "guard"), [(module, guard) for module in MODULES for guard in MODULES[module]])
def test_a_guard_that_is_taken_out_is_missed_by_its_test(killers, module, guard):
    assert killers[module].result().get(guard) == MODULES[module][guard]
