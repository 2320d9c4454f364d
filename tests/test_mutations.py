"""The tests bite: each guard of gate, point, analyser, axes and end station, taken out, fails a test."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

MUTANTS = Path(__file__).parent / "mutants.py"

#: Module, kinds of its guards (`kind_of` in mutants.py), the tests that must miss each, a word in the names of those
#: left out, and the number of guards; those that take longest first.
MODULES = (
    ("devices.sample_frame", "raise call", "tests/devices/test_sample_frame.py", "", 19),
    ("devices.analyser", "raise call kept and", "tests/devices/test_analyser.py", "", 38),
    ("devices.axis", "raise call", "tests/devices/test_axis.py", "", 33),
    ("devices.end_station", "raise call kept return and", "tests/devices/test_end_station.py", "", 65),
    ("plans.gate", "yield", "tests/plans/test_gate.py", "", 34),
    ("devices.exposure_clock", "raise call kept return and", "tests/devices/test_exposure_clock.py", "", 12),
    ("devices.approach", "call", "tests/devices/test_approach.py", "", 2),
    ("plans.top_up", "raise return and", "tests/plans/test_top_up.py", "pause", 8),
    ("devices.analyser_limits", "raise yield return and", "tests/devices/test_analyser_limits.py", "", 19),
    ("plans.sub_frames", "return", "tests/plans/test_sub_frames.py", "interrupted", 4),
    ("devices.analyser_pvs", "raise", "tests/devices/test_analyser_pvs.py", "", 2),
)

#: Guards by function and count, and the first test that misses each.
AXIS = {
    "__init__ subscribe": "test_a_connection_lost_during_a_move_ends_it_at_once",
    "__init__ subscribe 2": "test_a_limit_changed_during_a_move_ends_it_at_once_and_stops_the_axis",
    "check_units raise": "test_another_unit_than_the_configuration_says_is_refused",
    "check_value raise": "test_what_is_no_number_is_refused",
    "check_value raise 2": "test_a_record_that_is_away_is_not_moved",
    "check_value check_units": "test_another_unit_than_the_configuration_says_is_refused",
    "check_value raise 3": "test_a_request_beyond_a_soft_limit_is_refused",
    "check_value raise 4": "test_a_request_whose_backlash_approach_leaves_the_limits_is_refused",
    "check_value raise 5": "test_an_axis_that_somebody_paused_is_refused",
    "destroy destroy": "test_a_destroyed_axis_lets_go_of_the_fields_it_was_asked_for",
    "set_velocity put": "test_a_velocity_that_the_record_does_not_take_is_refused",
    "set_velocity forget": "test_a_move_is_given_the_time_that_a_new_velocity_takes",
    "set_velocity raise": "test_a_velocity_that_the_record_does_not_take_is_refused",
    "set check_value": "test_what_is_no_number_is_refused",
    "set watch": "test_a_slow_backlash_approach_is_given_its_time",
    "set add_callback": "test_a_limit_changed_during_a_move_ends_it_at_once_and_stops_the_axis",
    "arrived _judge": "test_a_move_ends_well_within_the_tolerance_and_badly_beyond_it",
    "arrived finish": "test_a_move_ends_well_within_the_tolerance_and_badly_beyond_it",
    "arrived finish 2": "test_a_put_that_ends_because_its_connection_is_lost_is_no_arrival",
    "arrived finish 3": "test_a_move_that_ends_at_its_request_has_succeeded",
    "set put": "test_a_move_that_ends_at_its_request_has_succeeded",
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
    "stop put": "test_a_limit_changed_during_a_move_ends_it_at_once_and_stops_the_axis",
}

SAMPLE_FRAME = {
    "set _check": "test_a_place_out_of_reach_is_refused_by_axis_and_limit_before_anything_moves",
    "set begin": "test_at_the_reference_angles_a_spot_is_reached_by_x_and_y_alone",
    "check_value _check": "test_a_place_out_of_reach_is_refused_by_axis_and_limit_before_anything_moves",
    "_asked_by raise": "test_what_cannot_be_asked_for_is_refused",
    "_asked_by raise 2": "test_a_second_request_under_way_is_refused",
    "_check check_value": "test_a_place_out_of_reach_is_refused_by_axis_and_limit_before_anything_moves",
    "_check append": "test_a_place_out_of_reach_is_refused_by_axis_and_limit_before_anything_moves",
    "_check raise": "test_a_place_out_of_reach_is_refused_by_axis_and_limit_before_anything_moves",
    "_judge raise": "test_an_invalid_readback_of_an_axis_at_rest_is_no_arrival",
    "_judge raise 2": "test_a_spot_that_is_off_though_every_axis_is_within_its_own_tolerance_has_failed",
    "stop stop": "test_a_stop_reaches_every_axis",
    "begin add_callback": "test_at_the_reference_angles_a_spot_is_reached_by_x_and_y_alone",
    "begin _count_down": "test_at_the_reference_angles_a_spot_is_reached_by_x_and_y_alone",
    "_ended _count_down": "test_at_the_reference_angles_a_spot_is_reached_by_x_and_y_alone",
    "_count_down _stop_others": "test_one_axis_that_fails_stops_the_others_and_is_named",
    "_count_down _end": "test_at_the_reference_angles_a_spot_is_reached_by_x_and_y_alone",
    "_stop_others stop": "test_one_axis_that_fails_stops_the_others_and_is_named",
    "_end _judge": "test_a_spot_that_is_off_though_every_axis_is_within_its_own_tolerance_has_failed",
    "_end finish": "test_at_the_reference_angles_a_spot_is_reached_by_x_and_y_alone",
}


def mutate(rows):
    command = [sys.executable, str(MUTANTS), json.dumps(rows)]
    done = subprocess.run(command, cwd=MUTANTS.parents[1], capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def missed_by():
    """The name of the first test that missed each guard, by module; two at a time, for some are found by waiting."""
    rows = [row[:4] for row in MODULES]
    with ThreadPoolExecutor(2) as pool:
        found = {}
        for half in pool.map(mutate, (rows[::2], rows[1::2])):
            found |= half
    return found


@pytest.mark.parametrize(("module", "guards"), [(row[0], row[4]) for row in MODULES])
def test_every_guard_that_is_taken_out_is_missed_by_a_test(missed_by, module, guards):
    found = missed_by[module]
    assert [guard for guard, test in found.items() if test is None] == []
    assert len(found) == guards


@pytest.mark.parametrize(("module", "table"), [("devices.axis", AXIS), ("devices.sample_frame", SAMPLE_FRAME)])
def test_a_guard_of_the_motion_is_missed_first_by_the_test_that_is_about_it(missed_by, module, table):
    assert missed_by[module] == table
