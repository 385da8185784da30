"""What every node does with a bad start and with a signal, in processes of their own."""

import os
import signal

from moss_perception.ros import spinning
import pytest

NODES = ('grasp_predictor', 'grasp_gate', 'bag_player', 'autostart')
OWN = {'autostart': ('nobody',)}
FILES = {
    'cut off': ('a: [1, 2\n', "Couldn't parse params file"),
    'of another type': ('/**:\n  ros__parameters:\n    use_sim_time: soon\n', "'use_sim_time'"),
}


@pytest.mark.parametrize('fault', FILES)
@pytest.mark.parametrize('name', NODES)
def test_a_bad_parameter_file_is_one_line_and_status_1(harness, tmp_path, name, fault):
    text, words = FILES[fault]
    (tmp_path / 'own.yaml').write_text(text)
    process = harness.NodeProcess(tmp_path, name, *OWN.get(name, ()),
                                  ros_args=('--params-file', 'own.yaml'))
    assert process.wait() == 1, process.output()
    lines = process.output().strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith(f'{name}: ') and words in lines[0], lines


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(('name', 'status'), [
    ('grasp_predictor', 0), ('grasp_gate', 0), ('bag_player', 130), ('autostart', 130)])
def test_a_signal_ends_a_node_without_a_traceback(
        harness, peer, tmp_path, make_bag, factory, name, status, number):
    bag = make_bag(factory.camera_run(2))
    process = harness.NodeProcess(
        tmp_path, name, *OWN.get(name, ()), ros_args=(
            '-r', '__ns:=/signalled', '-p', f'bag:={bag}', '-p', 'start_delay:=60.0'))
    harness.wait_for(lambda: name in [
        node for node, space in peer.node.get_node_names_and_namespaces()
        if space == '/signalled'], 40.0, name)
    process.process.send_signal(number)
    assert process.wait() == status, process.output()
    assert 'Traceback' not in process.output()


def test_a_second_ctrl_c_does_not_disturb_the_clean_up():
    before = signal.getsignal(signal.SIGINT)
    with spinning._uninterrupted():
        os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before
