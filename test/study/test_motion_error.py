"""Synthetic motion is what it says, and the command measures errors on it."""

import json

from moss_perception.moss.displacement import Search
import numpy as np
import pytest

from study import motion_error as command
from study.motion_error import DIS, errors, flows, measure, MossMotion, MossSettings
from study.motion_scenes import make_scene

SETTINGS = MossSettings(2, 'both', Search(9, 9, 7, 'ssd', 1, 2))


def test_a_scene_is_the_same_again_and_another_of_another_seed():
    one, again, other = make_scene(3, 64), make_scene(3, 64), make_scene(4, 64)
    assert np.array_equal(one.now, again.now) and not np.array_equal(one.now, other.now)


def test_the_motion_leads_back_to_what_the_image_before_shows():
    y, x = np.indices((64, 64))
    for seed in range(4):
        scene = make_scene(seed, 64)
        # Whole pixels, so what is read is near and not the same.
        from_x, from_y = (np.rint(at - scene.motion[..., n]).astype(int).clip(0, 63)
                          for n, at in enumerate((x, y)))
        guess = scene.before[from_y, from_x].astype(float)
        there = np.abs(guess - scene.now)[scene.known].mean()
        moving = scene.known & (np.abs(scene.motion).max(-1) > 2)
        assert there < 15
        assert np.abs(guess - scene.now)[moving].mean() < 0.6 * np.abs(
            scene.before.astype(float) - scene.now)[moving].mean()
        assert 0.02 < scene.objects.mean() < 0.6 and scene.known.mean() > 0.6


def test_a_shift_changes_the_look_and_not_the_motion():
    one, shifted = make_scene(5, 64), make_scene(5, 64, shifted=True)
    assert np.array_equal(one.motion, shifted.motion) and np.array_equal(one.known, shifted.known)
    assert np.abs(one.now.astype(float) - shifted.now).mean() > 5


def test_errors_are_distances_where_both_images_show_the_same():
    scene = make_scene(6, 64)
    assert errors(scene.motion, scene) == {'objects': 0.0, 'everywhere': 0.0}
    wrong = np.where(scene.known[..., None], scene.motion + (3.0, 4.0), np.nan)
    assert errors(wrong, scene) == pytest.approx({'objects': 5.0, 'everywhere': 5.0}, abs=1e-5)


def test_every_method_finds_motion_with_the_sign_of_the_truth():
    before = make_scene(8, 128).now
    now = np.roll(before, (-1, 2), (0, 1))
    readout = MossMotion(SETTINGS)
    found = {name: method(before, now) for name, method in flows().items()}
    found['MOSS'] = readout.find(readout.keep(before), now)
    for name, motion in found.items():
        middle = np.median(motion[32:-32, 32:-32].reshape(-1, 2), 0)
        assert middle == pytest.approx([2, -1], abs=0.3), name


def test_all_methods_are_measured_alike():
    scenes = [make_scene(seed, 64) for seed in range(2)]
    found = measure({'sim': scenes}, {'MOSS': SETTINGS})
    assert set(found) == {'MOSS', *flows()} and DIS in found
    for one in found.values():
        everywhere = one['sim']['everywhere']
        assert 0 < everywhere['low'] <= everywhere['value'] <= everywhere['high']
        assert one['ms'] > 0


def test_the_read_out_of_a_stream_is_that_of_its_two_images():
    scene, readout = make_scene(7, 64), MossMotion(SETTINGS)
    motion = readout.find(readout.keep(scene.before), scene.now)
    assert motion.shape == (64, 64, 2)
    assert errors(motion, scene)['everywhere'] < 1


def test_the_command_prints_and_stores_a_table(tmp_path, capsys, monkeypatch):
    few = list(command.candidates(4, 'parabola'))[:2]
    monkeypatch.setattr(command, 'candidates', lambda *_: iter(few))
    out = tmp_path / 'error.json'
    assert command.main(['--scenes', '2', '--choose', '1', '--size', '64', '--strides', '4',
                         '--out', str(out)]) == 0
    printed = capsys.readouterr().out
    assert 'Farneback' in printed and 'MOSS, stride 4: Gauss-Newton, borders, sparse' in printed
    stored = json.loads(out.read_text())
    assert stored['methods'][DIS]['sim']['objects']['low'] <= 10
    assert stored['settings']['MOSS, stride 4: parabola']['stride'] == 4
    page = tmp_path / 'page.md'
    page.write_text('<!-- begin motion_error | methods -->\n<!-- end -->\n')
    assert command.main(['--results', str(out), '--page', str(page)]) == 0
    assert capsys.readouterr().out == printed and printed.strip() in page.read_text()


@pytest.mark.parametrize('arguments, message', [
    (['--scenes', '1'], '--scenes=1: expected 2'), (['--size', '66'], '--size=66'),
    (['--seed', '-1'], '--seed=-1')])
def test_wrong_arguments_are_one_line(arguments, message, caplog):
    assert command.main(arguments) == 1
    assert message in caplog.text
