"""The description of a system that records attempts, compared with expected processes."""

from moss_perception.core.errors import ConfigError
from moss_perception.ros.system.processes import JOB, SERVICE
from moss_perception.ros.system.record import RECORD_ARGUMENTS, record_system
import pytest


def by_name(**values):
    return {x.name: x for x in record_system({'out': 'mine', **values})}


def test_a_robots_topics_are_those_of_predictor_and_recorder(tmp_path):
    found = by_name(
        out=str(tmp_path), image_topic='/cam/image_raw', camera_info_topic='/cam/info',
        candidates_topic='/planner/grasps', executed_topic='/planner/executed',
        image_transport='compressed', object='cup', operator='ada', gripper_topic='/fingers',
        gripper_closed='0.02', namespace='arm')
    recorder, predictor = found['attempt_recorder'], found['grasp_predictor']
    assert list(found) == ['attempt_recorder', 'grasp_predictor', 'lifecycle_starter',
                           'grasp_monitor']
    assert set(predictor.remappings) < set(recorder.remappings)
    assert ('selected_grasp', '/planner/executed') in recorder.remappings
    assert recorder.parameters == {
        'use_sim_time': False, 'out': str(tmp_path), 'image_transport': 'compressed',
        'gripper_topic': '/fingers', 'object': 'cup', 'operator': 'ada', 'gripper_closed': 0.02}
    assert recorder.namespace == predictor.namespace == '/arm'
    assert recorder.role == SERVICE


def test_a_number_of_attempts_ends_the_system_and_no_predictor_is_needed():
    found = by_name(attempts='12', predictor='false')
    assert list(found) == ['attempt_recorder']
    assert found['attempt_recorder'].parameters['attempts'] == 12
    assert found['attempt_recorder'].role == JOB
    assert found['attempt_recorder'].starts_with == SERVICE


def test_the_simulated_cell_is_a_robot_that_reports_its_outcomes():
    found = by_name(sim='true', attempts='7', sim_domain='shifted', executed_topic='executed')
    cell, recorder = found['sim_cell'], found['attempt_recorder']
    assert 'grasp_gate' in found
    assert recorder.parameters['outcomes'] == 'topic'
    assert (cell.parameters['attempts'], recorder.parameters['attempts']) == (7, 7)
    assert cell.parameters['wait_for_nodes'] == ['/attempt_recorder=/grasp_outcome']
    renamed = ('selected_grasp', 'executed')
    assert all(renamed in found[x].remappings for x in (
        'sim_cell', 'grasp_gate', 'attempt_recorder'))


def test_every_argument_is_described_once():
    names = [x.name for x in RECORD_ARGUMENTS]
    assert len(set(names)) == len(names) and not {'bag', 'lock_step', 'calibration'} & set(names)
    assert all(x.description for x in RECORD_ARGUMENTS)
    transport = next(x for x in RECORD_ARGUMENTS if x.name == 'image_transport')
    assert 'a plugin such as ffmpeg is not recorded' in transport.description


@pytest.mark.parametrize(('values', 'line'), [
    ({'out': ''}, "argument 'out' is '': expected the folder of the attempts"),
    ({'executed_topic': '/a b'}, "argument 'executed_topic' is '/a b': expected a topic name"),
    ({'attempts': 'many'}, "argument 'attempts' is 'many': expected a whole number"),
    ({'gripper_closed': 'shut'}, "argument 'gripper_closed' is 'shut': expected a number"),
    ({'image_transport': 'ffmpeg'},
     "argument 'image_transport' is 'ffmpeg': expected one of '', raw, compressed"),
    ({'outcomes': 'me'}, "argument 'outcomes' is 'me': expected one of '', operator, topic"),
    ({'sim': 'true', 'predictor': 'false'}, 'expected a predictor, whose scores select'),
    ({'bag': 'x'}, "unknown argument 'bag'")])
def test_what_cannot_be_recorded_is_refused(values, line):
    with pytest.raises(ConfigError, match=line):
        by_name(**values)
