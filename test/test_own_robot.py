"""
From a robot's recordings to a model, with the shipped one and images of real cameras.

The images are those of a folder of clips, which is not part of the repository: the environment
variable MOSS_TEST_CLIPS names it, or it is ``shared/data/droid`` beside the checkout.
"""

import csv
from dataclasses import dataclass
from functools import lru_cache
import os
from pathlib import Path

import cv2
from moss_perception.cli.main import main
from moss_perception.core.resources import model_path
from moss_perception.data.scenes import load_scenes
from moss_perception.models.manifest import read_header, verify
import numpy as np
from pages import fill_in, SMALL
import pytest
from robot_bag import PERIOD_S, Robot

CLIPS = Path(os.environ.get('MOSS_TEST_CLIPS') or (
    Path(__file__).resolve().parents[2] / 'shared' / 'data' / 'droid'))
DAYS = {'monday': 12, 'friday': 5}
# base_link is 1 m below the camera, which looks down.
WHERE = ['--candidates-frame', 'base_link', '--candidates-transform', *'0011000']


@dataclass(frozen=True)
class FilmedRobot(Robot):
    """A robot whose camera saw what a clip shows, another one in each attempt."""

    first: int = 0
    rate_hz: float = 30.0
    size: tuple[int, int] = (640, 480)
    focal: float = 610.0
    frame: str = 'base_link'

    def jpeg(self, time_s: float) -> bytes:
        attempt, within_s = divmod(time_s + 1e-6, PERIOD_S)
        frames = filmed(self.first + int(attempt), self.size)
        # A clip is shorter than an attempt: it runs back from its end.
        place = round(within_s * self.rate_hz) % max(1, 2 * len(frames) - 2)
        return frames[min(place, 2 * len(frames) - 2 - place)]


@lru_cache(maxsize=2)
def filmed(number: int, size: tuple[int, int]) -> list[bytes]:
    """Read a clip as JPEGs of a size."""
    path = sorted((CLIPS / 'clips').glob('*.mp4'))[number]
    video, found = cv2.VideoCapture(str(path)), []
    while (read := video.read())[0]:
        found.append(cv2.imencode('.jpg', cv2.resize(read[1], size))[1].tobytes())
    video.release()
    return found


def moss(*words: str) -> None:
    assert main([*words, *SMALL.get(words[0], [])]) == 0, ' '.join(words)


@pytest.mark.timeout(300)
@pytest.mark.skipif(not (CLIPS / 'clips').is_dir(), reason=(
    f'no clips in {CLIPS}: expected a folder with clips/*.mp4, in MOSS_TEST_CLIPS'))
def test_the_shipped_model_is_fine_tuned_on_recordings_of_a_real_camera(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for first, (day, count) in zip((0, 100), DAYS.items(), strict=True):
        outcomes = tuple(n % 2 == 0 for n in range(count))
        FilmedRobot(outcomes, first=first, listed=day == 'monday').write(tmp_path / day)
        (tmp_path / f'{day}.csv').unlink()
        moss('label', day, '--template', *WHERE)
        fill_in(tmp_path / f'{day}.csv', outcomes)
        moss('import', day, '--outcomes', f'{day}.csv', '--out', f'data/{day}', *WHERE)
    samples = load_scenes('data/friday')
    assert len(samples) == DAYS['friday'] and samples[0].image_size == (640, 480)
    # The executed grasp is not among the eight candidates: it is one more.
    assert all(len(x.candidates) == 9 and x.labelled.tolist() == [False] * 8 + [True]
               for x in samples)
    np.testing.assert_allclose(samples[0].candidates[8, :3], [0.02, 0.01, 0.5], atol=1e-5)
    shipped = model_path('')
    moss('train', '--data', 'data/monday', '--hold-out', 'data/friday', '--initial', str(shipped),
         '--run', 'mine')
    config, notes = read_header('mine/finetuned.safetensors')
    assert config.time_inputs and notes['initial'] == verify(shipped)
    assert notes['without_lead_time'] == sum(DAYS.values())
    for model in (str(shipped), 'mine/finetuned.safetensors'):
        moss('evaluate', 'real:friday', '--outcomes', 'friday.csv', *WHERE, '--model', model,
             '--report', 'out')
        with Path('out/attempts.csv').open(encoding='utf-8') as file:
            rows = list(csv.DictReader(file))
        assert [x['source'] for x in rows] == ['executed'] * DAYS['friday']
