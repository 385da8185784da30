"""The page on video: its tables, its pictures, and what it says where nothing was run."""

import json
from pathlib import Path

import cv2
from moss_perception.core.errors import ConfigError
import numpy as np
import pytest

pytest.importorskip('scipy')
from study.questions.asking import Item
from study.questions.results import FORMAT as ASKED
from study.questions.results import summarise_set
from study.questions.wording import KINDS
from study.video.clips import read_table
from study.video.made_up import FRAMES, frames, VERBS
from study.video.made_up import main as make_up
from study.video.page import filled, main, NOT_RUN, read_result
from study.video.pictures import draw_questions
from study.video.results import BLIND, FORMAT, summarise

PAGE = '\n'.join(f'<!-- begin {name} | {what} -->\n\nold\n\n<!-- end -->' for name, what in (
    ('video', 'picture'), ('video', 'arrow'), ('video', 'verb'), ('questions', 'picture'),
    ('questions', 'answers'), ('questions', 'kinds'), ('questions', 'video')))


class Scene:
    def __init__(self, group):
        self.group = group


def asked(kinds):
    """Summarise answers of two variants to made-up questions, of which one is right more often."""
    items = [Item(kind, answer, ((n, ()),)) for kind in kinds for n in range(12)
             for answer in KINDS[kind].answers]
    rng = np.random.default_rng(0)
    answers = {name: {n: {phrasing: [item.label if rng.random() < share else -1 for item in items]
                          for phrasing in ('held_out', 'known')} for n in range(2)}
               for name, share in (('pooling', 0.5), ('displacement_12', 0.9))}
    return summarise_set(items, [Scene(f'{n}') for n in range(12)], answers)


@pytest.fixture(scope='module')
def stored(tmp_path_factory):
    """Store results of both commands."""
    folder, labels = tmp_path_factory.mktemp('results'), [0, 1] * 20
    task = summarise({BLIND: {0: [0] * 40}, 'pooling': {0: [0] * 40},
                      'displacement_12': {0: labels}},
                     labels, [f'g{n % 8}' for n in range(40)], ('forwards', 'backwards'))
    (folder / 'video.json').write_text(json.dumps({'format': FORMAT, 'tasks': {'arrow': task}}))
    sets = {'sim': {'scenes': 12, 'families': ['box'], **asked(['direction', 'speeds_up'])},
            'video': {'scenes': 12, **asked(['arrow', 'speed'])}}
    (folder / 'questions.json').write_text(json.dumps({'format': ASKED, 'sets': sets}))
    return folder


def test_what_was_run_stands_in_the_page_and_is_drawn(stored, tmp_path):
    page = tmp_path / 'docs/page.md'
    page.parent.mkdir()
    page.write_text(PAGE)
    words = ['--video', str(stored / 'video.json'), '--questions', str(stored / 'questions.json'),
             '--page', str(page), '--out', str(tmp_path / 'docs/images')]
    assert main(words) == 0
    text = page.read_text()
    for found in ('| displacement_12 | 1, 2   | 100.0', '](images/video.png)', 'arrow: 40 quest',
                  '](images/questions.png)', 'sim: 48 questions about motion, in held-out',
                  '12 real clips of 12 groups; questions: 24 of arrow, 24 of speed'):
        assert found in text, found
    # The verb was not asked.
    assert text.count(NOT_RUN) == 1 and 'old' not in text
    for name in ('video', 'questions'):
        image = cv2.imread(str(tmp_path / f'docs/images/{name}.png'))
        assert image.shape[1] > 900 and image.std() > 5
    assert main(words) == 0 and page.read_text() == text


def test_each_set_of_questions_has_a_row_in_their_picture(stored):
    result = json.loads((stored / 'questions.json').read_text())
    one, two = (draw_questions({'sets': dict.fromkeys(names, result['sets']['sim'])})
                for names in (('sim',), ('sim', 'held_out')))
    (width, height), (same, twice) = (figure.get_size_inches() for figure in (one, two))
    assert width == same and twice == pytest.approx(2 * height)
    image, = two.images
    upper, lower = np.split(np.asarray(image.get_array()), 2)
    # The titles differ, and all else is the same.
    assert upper.shape == lower.shape and 0 < (upper != lower).mean() < 0.02


def test_what_was_not_run_is_said_not_to_be(tmp_path):
    assert read_result(tmp_path / 'gone.json', 'video') is None
    text = filled(PAGE, {'video': None, 'questions': None}, 'images')
    assert text.count(NOT_RUN) == 7 and 'old' not in text


@pytest.mark.parametrize('text', ['no JSON', '[]', '{}', json.dumps({'format': 'another'})])
def test_a_file_that_holds_no_results_is_refused(text, tmp_path):
    path = tmp_path / 'results.json'
    path.write_text(text)
    with pytest.raises(ConfigError, match=r'results\.json (holds no results|has the format)'):
        read_result(path, 'questions')


def test_questions_are_summarised_by_what_they_are_about():
    found = asked(['direction', 'speeds_up', 'held'])
    assert set(found['held_out']) == {'all', 'motion', 'velocity', 'acceleration', 'direction',
                                      'speeds_up', 'held'}
    assert set(found['known']) == {'all', 'motion'}
    assert found['held_out']['motion']['questions'] == 48
    variants = found['held_out']['motion']['variants']
    assert variants['most_frequent']['accuracy'] == 0.5
    assert variants['displacement_12']['accuracy'] == pytest.approx(0.9, abs=0.08)
    pair, = found['held_out']['motion']['pairs']
    assert (pair['ours'], pair['theirs']) == ('displacement_12', 'pooling') and pair['low'] > 0.2


def test_made_up_clips_have_every_verb_in_every_group(tmp_path, caplog):
    assert main_made_up(tmp_path, 18) == 0
    clips = read_table(tmp_path / 'clips.tsv')
    assert {(clip.group, clip.verb) for clip in clips} == {
        (f'table_{n}', verb) for n in range(6) for verb in VERBS}
    video = cv2.VideoCapture(str(tmp_path / clips[0].name))
    assert video.get(cv2.CAP_PROP_FRAME_COUNT) == FRAMES
    assert sorted(path.suffix for path in Path(tmp_path).iterdir()) == ['.avi'] * 18 + ['.tsv']
    assert main_made_up(tmp_path, 17) == 1 and '--clips 17 is not allowed' in caplog.text


def main_made_up(folder, clips):
    return make_up(['--out', str(folder), '--clips', str(clips)])


@pytest.mark.parametrize('verb', VERBS)
def test_a_made_up_thing_comes_to_rest(verb):
    images = np.stack(list(frames(verb, np.random.default_rng(0)))).astype(int)
    steps = [np.abs(images[n + 3] - images[n]).max(-1) for n in (0, FRAMES - 4)]
    assert (steps[0] > 40).sum() > 5 * (steps[1] > 40).sum()
