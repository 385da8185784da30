"""The commands of the pages that lead from recordings to a model, on small recordings."""

import csv
from dataclasses import replace
from pathlib import Path
import re

from moss_perception.data.sample_shards import write_samples
from moss_perception.data.scenes import load_scenes
from moss_perception.data.schema import Attempt
from moss_perception.data.shards import write_shard
from moss_perception.models.manifest import read_header, verify
from moss_perception.simulation.cell_file import read_cell
import numpy as np
from pages import commands, DOCS, fill_in, run, write_model
import pytest
from robot_bag import Robot
from spots import MATRIX, scene

PAGE = DOCS / 'tutorials' / 'own_model.md'
TABLE = str(DOCS.parent / 'config' / 'cells' / 'oblique_table.yaml')
HOW_TO = DOCS / 'how_to' / 'train_on_your_recordings.md'
# The robot of the page: candidates in base_link, 60 ms late, of which it executes one.
KINDS = [*['label'] * 4, 'evaluate', 'import', 'import', 'train', 'evaluate', 'record', 'record',
         'train', 'train']
DAYS = {'monday': 8, 'tuesday': 7, 'friday': 8}


def successes(count):
    return tuple(n % 2 == 0 for n in range(count))


def filmed(seed):
    """Make a scene with images of the grasp under way."""
    made = scene(seed)
    stamps_ns = made.times_ns[-1] + np.arange(1, 4) * 100_000_000
    return replace(made, attempt=Attempt(0, True, made.jpegs[:3], stamps_ns),
                   gripper_opening_m=read_cell(TABLE).described['gripper.opening'])


def robots(**values):
    """Return the robot of each day, which grasps at another height."""
    return {day: Robot(successes=successes(count), executed=(0.02, -0.01, 0.5 + 0.01 * n),
                       **values) for n, (day, count) in enumerate(DAYS.items())}


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """Make a folder with the recordings, and a small model in the place of the shipped one."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'config').symlink_to(DOCS.parent / 'config')
    write_model(tmp_path)
    for day, robot in robots(frame='base_link').items():
        robot.write(tmp_path / day)
        # The outcomes are to be filled in.
        Path(f'{day}.csv').unlink()
    return tmp_path


@pytest.mark.timeout(600)
def test_the_commands_of_the_page_make_a_model_of_the_robot(clone):
    done = []
    for words in commands(PAGE):
        if words[1] == 'record':
            # These simulate a cell for hours: a test has scenes of its own.
            if 'data/cell' in words:
                write_samples(Path('data/cell/samples_00000000.npz'),
                              [filmed(n) for n in range(10)])
        else:
            run(words)
        if '--template' in words:
            fill_in(Path(f'{words[2]}.csv'), successes(DAYS[words[2]]))
            assert Path(f'{words[2]}.png').stat().st_size > 1000
        done.append(words[1])
    assert done == KINDS
    samples = load_scenes('data/mine')
    assert len(samples) == DAYS['monday'] + DAYS['tuesday']
    # base_link is 1 m below the camera, which looks down.
    assert samples[0].candidates[3] == pytest.approx([0.02, 0.01, 0.5, 0], abs=1e-5)
    notes = read_header('runs/mine/finetuned.safetensors')[1]
    assert notes['initial'] == verify(Path('models/grasp_moss.safetensors'))
    assert notes['without_lead_time'] == sum(DAYS.values())
    assert [(x['name'], x['count'], x['held_out']) for x in notes['sets']] == [
        ('mine', len(samples), False), ('friday', DAYS['friday'], True)]
    both, cell = (Path(f'runs/{name}.safetensors') for name in (
        'both/finetuned', 'cell/pretrained'))
    assert read_header(both)[1]['initial'] == verify(cell)
    # The cell file of the page has the gripper that its imports name.
    for path in (Path('runs/mine/finetuned.safetensors'), cell, both):
        assert read_header(path)[0].gripper_half_width_m == pytest.approx(0.055)
    for name in ('before', 'after'):
        assert Path(f'out/{name}/report.html').exists()
    with Path('out/after/attempts.csv').open(encoding='utf-8') as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == DAYS['friday'] and all(x['source'] == 'executed' for x in rows)


@pytest.mark.timeout(300)
def test_the_commands_of_the_how_to_train_on_what_the_recorder_wrote(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_model(tmp_path)
    for day, robot in robots().items():
        robot.record(tmp_path / 'recordings' / day, day=day)
    write_shard(tmp_path / 'data' / 'sim' / 'scenes_00000000.npz', [scene(n) for n in range(10)],
                MATRIX)
    done = []
    for words in commands(HOW_TO):
        run(words)
        done.append(words[1])
    assert done == ['import', 'import', 'train', 'evaluate', 'train']
    assert [dict(x.groups) for x in load_scenes('data/friday')[:2]] == [
        {'bag': 'friday', 'day': 'friday', 'object': name} for name in ('cup', 'box')]
    for name, count in (('mine', 15), ('mixed', 25)):
        sets = read_header(f'runs/{name}/finetuned.safetensors')[1]['sets']
        assert sum(x['count'] for x in sets if not x['held_out']) == count
    with Path('out/friday/attempts.csv').open(encoding='utf-8') as file:
        assert all(x['source'] == 'executed' for x in csv.DictReader(file))


def test_the_page_shows_each_step_once_and_its_pictures_are_there():
    kinds = [words[1] for words in commands(PAGE)]
    assert kinds == KINDS
    pictures = re.findall(r'!\[.+?\]\((.+?)\)', PAGE.read_text(encoding='utf-8'))
    assert len(pictures) == 2 and all((PAGE.parent / x).exists() for x in pictures)


def test_the_page_says_where_to_leave_out_the_table_if_the_recording_has_the_outcomes():
    text = PAGE.read_text(encoding='utf-8')
    said = re.search(r'leave out each `--outcomes` with its file in\s+steps ([\d, and]+)\.', text)
    sections = re.findall(r'^## (\d)\. (.*?)(?=^## )', text, re.DOTALL | re.MULTILINE)
    with_table = {number for number, section in sections
                  if re.search(r'^(moss|    ).* --outcomes ', section, re.MULTILINE)}
    assert set(re.findall(r'\d', said[1])) == with_table - {'2'}
