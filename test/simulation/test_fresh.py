"""The shipped model on scenes that are made for it."""

import json
from pathlib import Path
from tempfile import gettempdir

from moss_perception.cli.main import main as moss
import pytest

pytest.importorskip('mujoco')


def folders() -> set:
    return set(Path(gettempdir()).iterdir())


def test_fresh_scenes_are_made_scored_and_left_nowhere(renderer, capsys):
    before = folders()
    assert moss(['evaluate', '--fresh', '3', '--cell', 'full', '--domain', 'shifted', '--motion',
                          'oscillating', '--seed', '8000000', '--workers', '1']) == 0
    result = json.loads(capsys.readouterr().out)
    assert 1 <= result['scenes'] <= 3 and set(result['motions']) == {'oscillating'}
    assert 8000000 <= result['seeds'][0] <= result['seeds'][1] < 8000003
    assert set(result['chosen_success']) == {'model', 'low', 'high', 'random', 'centre',
                                             'constant_velocity', 'true_motion', 'oracle'}
    assert not [path for path in folders() - before if list(path.glob('scenes_*'))]


def test_a_fresh_domain_that_does_not_exist_is_told(renderer, caplog):
    assert moss(['evaluate', '--fresh', '1', '--domain', 'real']) == 1
    assert "unknown domain 'real'" in caplog.text
