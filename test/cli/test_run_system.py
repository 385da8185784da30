"""The command ``moss run`` with the real nodes: installed, over DDS, from another folder."""

import os
import re
import signal
import subprocess

import cv2
from moss_perception.core.errors import MossError
from moss_perception.core.resources import executable
import numpy as np
import pytest


@pytest.fixture(scope='module')
def runner(programs, no_torch):
    """Return the runner's path; where it runs, there is no torch."""
    try:
        path = executable('moss')
    except MossError as error:
        pytest.skip(f'the package is not installed: {error}')
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('PYTHONPATH', programs.environment(no_torch)['PYTHONPATH'])
        yield path


@pytest.fixture
def bag(factory, make_bag):
    return make_bag([factory.image(factory.START_NS + index * 100_000_000, side=32, fill=index)
                     for index in range(20)])


def run(runner, folder, *words):
    done = subprocess.run([runner, 'run', 'grasp', *words], cwd=folder, timeout=100, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return done.returncode, done.stdout


def test_a_recording_is_played_to_its_end_in_a_namespace(runner, bag, tiny_checkpoint, tmp_path):
    status, output = run(runner, tmp_path, f'bag:={bag}', f'model:={tiny_checkpoint}',
                         'namespace:=arm', 'image_topic:=/image', 'lock_step:=true',
                         'bag_rate:=10')
    assert status == 0, output
    assert 'end of the recording: 20 images played' in output
    assert '/arm/grasp_predictor/grasp_scores' in output
    assert 'Traceback' not in output


def test_the_images_of_a_recording_are_heard_without_a_word(
        runner, factory, make_bag, tiny_checkpoint, tmp_path):
    jpeg = cv2.imencode('.jpg', np.full((32, 32, 3), 90, np.uint8))[1].tobytes()
    bag = make_bag([factory.compressed(factory.START_NS + index * 100_000_000, jpeg)
                    for index in range(20)])
    status, output = run(
        runner, tmp_path, f'bag:={bag}', f'model:={tiny_checkpoint}', 'bag_rate:=4')
    assert status == 0, output
    assert 'end of the recording: 20 images played' in output
    assert re.search(r'in +/image/compressed +sensor_msgs/msg/CompressedImage', output), output


def test_a_recording_that_nobody_hears_fails_the_system(runner, bag, tiny_checkpoint, tmp_path):
    (tmp_path / 'own.yaml').write_text(
        '/**/bag_player:\n  ros__parameters:\n    start_delay: 1.0\n')
    # Without autostart the predictor does not listen.
    status, output = run(runner, tmp_path, f'bag:={bag}', f'model:={tiny_checkpoint}',
                         'autostart:=false', 'params_file:=own.yaml')
    assert status == 1, output
    errors = [line for line in output.splitlines() if '[ERROR]' in line]
    assert len(errors) == 1 and 'nobody subscribes to /image after 1 s' in errors[0], output
    assert 'images played' not in output and 'Traceback' not in output


def test_images_that_are_not_recorded_are_one_line(runner, bag, tmp_path):
    status, output = run(runner, tmp_path, f'bag:={bag}', 'image_topic:=/other')
    assert status == 1
    assert output.strip() == (
        f'run: {bag}: no images on /other; expected one of /image')


def test_a_corrupt_checkpoint_fails_the_system_before_it_plays(
        runner, bag, tiny_checkpoint, tmp_path):
    broken = tmp_path / 'broken.safetensors'
    broken.write_bytes(tiny_checkpoint.read_bytes()[:1000])
    status, output = run(runner, tmp_path, f'bag:={bag}', f'model:={broken}')
    assert status == 1, output
    assert str(broken) in output
    assert output.splitlines()[-1] == '[run] error: lifecycle_starter failed with status 1'
    assert 'images played' not in output


def test_a_file_that_is_no_recording_fails_the_system(runner, tiny_checkpoint, tmp_path):
    wrong = tmp_path / 'notes.mcap'
    wrong.write_text('no recording')
    status, output = run(runner, tmp_path, f'bag:={wrong}', f'model:={tiny_checkpoint}')
    assert status == 1, output
    assert str(wrong) in output
    assert 'Traceback' not in output


def test_a_live_system_ends_well_when_it_is_interrupted(runner, tiny_checkpoint, tmp_path):
    process = subprocess.Popen([runner, 'run', 'grasp', f'model:={tiny_checkpoint}'],
                               cwd=tmp_path, text=True, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT,
                               env={**os.environ, 'PYTHONUNBUFFERED': '1'})
    try:
        lines = []
        for line in process.stdout:
            lines.append(line)
            if 'activate done' in line:
                process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 0, ''.join(lines)
        assert 'Traceback' not in ''.join(lines)
    finally:
        process.kill()
        process.stdout.close()
