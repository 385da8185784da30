"""Stamps as they come from the field: told by every command, with the right numbers."""

from collections import Counter
import copy
import csv
import json
from pathlib import Path
import re

import cv2
from moss_perception.cli.demo.source import open_source
from moss_perception.cli.main import main
import numpy as np
import pytest
from rewritten import rewrite

SAMPLE = Path(__file__).resolve().parents[2] / 'samples' / 'sim_20'
# Five attempts.
FIRST_NS, LENGTH_NS = 1_700_000_000_000_000_000, 21_000_000_000
S = 10**9


def moved(stamp, seconds):
    total = stamp.sec * S + stamp.nanosec + round(seconds * S)
    return type(stamp)(total // S, total % S)


def zoom(message):
    for name, places in (('k', (0, 4)), ('p', (0, 5))):
        values = getattr(message, name).copy()
        values[list(places)] *= 1.5
        setattr(message, name, values)


def copied(path, change=lambda topic, kind, ns, message: message):
    """Copy the beginning of the sample, with its messages changed."""
    def some(topic, kind, ns, message):
        if ns < FIRST_NS + LENGTH_NS:
            yield topic, kind, ns, change(topic, kind, ns, message)
    return rewrite(SAMPLE, path, some)


def shifted(path, seconds, late=lambda number: 0.0):
    """Copy it with the stamps of the outcomes shifted, and the outcomes recorded later."""
    numbers = Counter()

    def some(topic, kind, ns, message):
        if ns >= FIRST_NS + LENGTH_NS:
            return
        if topic == '/grasp_outcome':
            for status in message.status:
                for pair in status.values:
                    if pair.key in ('start', 'decision', 'end'):
                        pair.value = f'{float(pair.value) + seconds:.9f}'
            numbers[topic] += 1
            ns += round(late(numbers[topic]) * S)
        yield topic, kind, ns, message
    return rewrite(SAMPLE, path, some)


@pytest.fixture
def evaluated(tmp_path, capsys, tiny_checkpoint):
    """Return a function that evaluates a recording, for its lines, its numbers and attempts."""
    def run(bag):
        out = tmp_path / f'report_{bag.name}'
        assert main(['evaluate', str(bag), '--model', str(tiny_checkpoint),
                     '--report', str(out)]) == 0
        summary = json.loads((out / 'report.json').read_text())
        rows = list(csv.DictReader((out / 'attempts.csv').read_text().splitlines()))
        return capsys.readouterr().out, summary, rows
    return run


@pytest.fixture
def everywhere(evaluated, tmp_path, caplog, capsys):
    """Return a function that has a recording read by each command, for what each says."""
    def run(bag):
        found = {'evaluate': evaluated(bag)[0], 'demo': '\n'.join(open_source(bag).doubts)}
        main(['doctor', str(bag)])
        found['doctor'] = capsys.readouterr().out
        caplog.clear()
        caplog.set_level('INFO')
        main(['import', str(bag), '--out', str(tmp_path / f'samples_{bag.name}')])
        return {name: ' '.join(text.split()) for name, text in (
            *found.items(), ('import', caplog.text))}
    return run


@pytest.mark.parametrize(('seconds', 'words'), [
    (0.7, r'stamped 0\.[67]\d\d s ahead of the images: they were recorded 0\.700 s before'),
    (-0.7, r'stamped 0\.[67]\d\d s behind the images: they were recorded 0\.700 s after')])
def test_outcomes_of_another_clock_are_told_by_every_command(everywhere, tmp_path, seconds, words):
    for name, said in everywhere(shifted(tmp_path / 'bag', seconds)).items():
        assert re.search(words, said), name


@pytest.mark.parametrize(('seconds', 'late'), [
    (0.0, lambda number: 0.0), (0.1, lambda number: 0.0),
    # Someone who looks at the object first, but not always.
    (0.0, lambda number: 0.9 if number % 2 else 0.05)])
def test_outcomes_of_the_same_clock_are_right_even_if_told_late(
        everywhere, tmp_path, seconds, late):
    for name, said in everywhere(shifted(tmp_path / 'bag', seconds, late)).items():
        assert 'the outcomes are stamped' not in said, name


@pytest.mark.parametrize('every', [1, 10])
def test_calibrations_that_alternate_are_told_by_every_command(everywhere, tmp_path, every):
    count = Counter()

    def change(topic, kind, ns, message):
        if topic == '/camera_info':
            count[topic] += 1
            if count[topic] // every % 2:
                zoom(message)
        return message
    for name, said in everywhere(copied(tmp_path / 'bag', change)).items():
        assert re.search(r'\d+ calibrations alternate on one topic', said), name


def test_one_new_calibration_is_no_problem(everywhere, tmp_path):
    def change(topic, kind, ns, message):
        if topic == '/camera_info' and ns > FIRST_NS + LENGTH_NS // 2:
            zoom(message)
        return message
    for name, said in everywhere(copied(tmp_path / 'bag', change)).items():
        assert 'alternate' not in said, name


@pytest.mark.parametrize('ahead_s', [0.2, 10.0])
def test_candidates_stamped_ahead_are_told_with_the_offset(evaluated, tmp_path, ahead_s):
    """Field case 03."""
    def change(topic, kind, ns, message):
        if topic == '/grasp_candidates':
            message.header.stamp = moved(message.header.stamp, ahead_s)
        return message
    said, report, rows = evaluated(copied(tmp_path / 'bag', change))
    words = f'the candidates are stamped {ahead_s:.3f} s ahead of the images that were recorded'
    assert words in said
    assert [words in x for x in report['warnings']] == [True]
    # The executed grasps have poses of their own, and are scored as without the shift.
    _, _, right = evaluated(copied(tmp_path / 'whole'))
    assert [float(x['score']) for x in rows] == pytest.approx(
        [float(x['score']) for x in right], abs=1e-3)


def test_frames_stamped_in_the_future_are_told_as_the_reason(evaluated, tmp_path):
    """Field case 18: one frame in twenty is stamped three seconds ahead."""
    count = Counter()

    def change(topic, kind, ns, message):
        count[topic] += 1
        if topic.startswith('/image') and count[topic] % 20 == 10:
            message.header.stamp = moved(message.header.stamp, 3.0)
        return message
    said, report, rows = evaluated(copied(tmp_path / 'bag', change))
    # The 10th, 30th and so on of 154 images, which are 0.1 s apart.
    words = '8 of 154 images are stamped before the image recorded before them, by up to 2.900 s'
    assert words in said and any(words in x for x in report['warnings'])
    unscored = [x['attempt'] for x in rows if not x['score'] or x['score'] == 'nan']
    assert unscored == ['1', '3', '4']
    assert any('3 of 5 attempts have no score' in x for x in report['warnings'])


@pytest.mark.parametrize(('level', 'jump_s', 'words'), [
    ('an even clock', 0.0, ''), ('a jump', 1.2, 'jumps once against the recorder')])
def test_doctor_tells_a_clock_that_jumps(tmp_path, capsys, level, jump_s, words):
    def change(topic, kind, ns, message):
        if ns > FIRST_NS + LENGTH_NS // 2 and hasattr(message, 'header'):
            message.header.stamp = moved(message.header.stamp, jump_s)
        return message
    main(['doctor', str(copied(tmp_path / 'bag', change))])
    said = ' '.join(capsys.readouterr().out.split())
    assert ('jumps once' in said) == bool(words), level
    assert words in said


def test_doctor_tells_another_camera_of_another_clock(tmp_path, capsys):
    def two(topic, kind, ns, message):
        if ns < FIRST_NS + LENGTH_NS:
            yield topic, kind, ns, message
            if topic == '/image/compressed':
                other = copy.deepcopy(message)
                other.header.stamp = moved(other.header.stamp, -0.6)
                yield '/side/image/compressed', kind, ns, other
    bag = rewrite(SAMPLE, tmp_path / 'bag', two)
    main(['doctor', str(bag), '--image-topic', '/image'])
    said = ' '.join(capsys.readouterr().out.split())
    assert 'the stamps on /side/image/compressed are 0.600 s behind those on /image' in said


def test_doctor_tells_two_cameras_on_one_topic(tmp_path, capsys):
    """Field case 19."""
    count = Counter()
    dark, white = (np.frombuffer(cv2.imencode('.jpg', np.random.default_rng(0).integers(
        low, high, (128, 128, 3), np.uint8))[1].tobytes(), np.uint8)
        for low, high in ((30, 90), (150, 220)))

    def change(topic, kind, ns, message):
        if topic == '/image/compressed':
            count[topic] += 1
            message.data = white if count[topic] % 2 else dark
        return message
    main(['doctor', str(copied(tmp_path / 'bag', change))])
    said = ' '.join(capsys.readouterr().out.split())
    assert re.search(r'\d+ of \d+ pictures are like the picture before the last one', said)
    assert 'see to one camera on the topic' in said
