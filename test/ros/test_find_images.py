"""The image topic of a recording: found by default, or named."""

import json
import subprocess
import sys

from moss_perception.cli.main import main as moss
from moss_perception.core.errors import BagError, ConfigError
from moss_perception.ros.system import grasp
from moss_perception.ros.system.grasp import find_images, grasp_system
import pytest


def images(factory, *names):
    """Return an image on each topic, compressed on those marked with a star."""
    return [factory.compressed(1 + i, b'jpeg', name.rstrip('*')) if name.endswith('*')
            else factory.image(1 + i, name) for i, name in enumerate(names)]


@pytest.mark.parametrize(('recorded', 'name', 'transport', 'namespace', 'expected'), [
    (['/image/compressed*'], 'image', '', '', ('/image/compressed', True)),
    (['/image'], 'image', '', '', ('/image', False)),
    (['/eye/colour'], 'image', '', '', ('/eye/colour', False)),
    (['/eye/jpeg*'], 'image', '', '', ('/eye/jpeg', True)),
    (['/image', '/image/compressed*'], 'image', '', '', ('/image', False)),
    (['/image', '/image/compressed*'], 'image', 'compressed', '', ('/image/compressed', True)),
    (['/image', '/other'], 'image', '', '', ('/image', False)),
    (['/arm/image', '/image'], 'image', '', 'arm', ('/arm/image', False)),
    (['/a', '/b/compressed*'], '/b', '', '', ('/b/compressed', True)),
])
def test_topic_and_transport_come_from_the_recording(
        factory, make_bag, recorded, name, transport, namespace, expected):
    bag = make_bag(images(factory, *recorded))
    assert find_images(str(bag), name, transport, namespace) == expected


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
def test_of_a_recording_that_is_cut_off_the_images_are_found(factory, make_bag, storage):
    bag = make_bag([factory.image(n + 1, '/eye', side=160) for n in range(40)], storage=storage)
    file = next(x for x in bag.iterdir() if x.suffix in ('.mcap', '.db3'))
    file.write_bytes(file.read_bytes()[:500_000])
    assert find_images(str(bag), 'image', '', '') == ('/eye', False)


@pytest.mark.parametrize(('recorded', 'name', 'transport', 'words'), [
    (['/image/compressed*'], 'image', 'raw', 'are compressed: expected raw images'),
    (['/a', '/b'], 'image', '', 'several image topics'),
    (['/a'], '/b', '', 'no images on /b; expected one of /a'),
])
def test_what_is_not_recorded_is_refused(factory, make_bag, recorded, name, transport, words):
    bag = make_bag(images(factory, *recorded))
    with pytest.raises(BagError, match=words):
        find_images(str(bag), name, transport, '')


def test_the_system_is_told_the_images_of_the_recording(factory, make_bag):
    bag = str(make_bag(images(factory, '/eye/jpeg*')))
    predictor, gate, _, player, _ = grasp_system({'bag': bag})
    assert predictor.parameters['image_transport'] == 'compressed'
    assert predictor.remappings == (
        ('image', '/eye/jpeg'), ('/eye/jpeg/compressed', '/eye/jpeg'))
    assert player.parameters['wait_for_subscribers'] == ['/eye/jpeg']
    assert 'image_transport' not in gate.parameters


def test_a_live_system_is_described_without_a_recording():
    assert 'image_transport' not in grasp_system({})[0].parameters
    with pytest.raises(ConfigError, match='unknown argument'):
        grasp_system({'bagg': 'x'})


def test_without_rosbags_the_installed_executable_is_asked(
        factory, make_bag, monkeypatch, programs, tmp_path):
    bag = str(make_bag(images(factory, '/image/compressed*')))
    script = tmp_path / 'moss'
    script.write_text(f'#!{sys.executable}\n{programs.start("moss")}\n')
    script.chmod(0o755)
    monkeypatch.setattr(grasp, 'executable', lambda name: script)
    monkeypatch.setitem(sys.modules, 'moss_perception.data.bags.reader', None)
    assert grasp_system({'bag': bag})[0].parameters['image_transport'] == 'compressed'
    with pytest.raises(BagError, match='no images on /b'):
        grasp_system({'bag': bag, 'image_topic': '/b'})
    script.write_text('#!/bin/sh\necho broken >&2\nexit 3\n')
    with pytest.raises(BagError, match='broken'):
        grasp_system({'bag': bag})


def test_the_answer_is_json(factory, make_bag, capsys, programs, tmp_path):
    bag = str(make_bag(images(factory, '/image')))
    assert moss(['topics', bag]) == 0
    assert json.loads(capsys.readouterr().out) == {'topic': '/image', 'compressed': False}
    done = subprocess.run([*programs.command('moss'), 'topics', '/nowhere'], cwd=tmp_path,
                          env=programs.environment(), text=True, timeout=60,
                          capture_output=True)
    assert 'no such recording' in json.loads(done.stdout)['error']
