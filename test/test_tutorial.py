"""The commands of the tutorial 'A model for your robot in an afternoon', on a small recording."""

import csv
from pathlib import Path
import re

from moss_perception.data.scenes import load_scenes
from moss_perception.models.manifest import read_header, verify
from pages import commands, DOCS, fill_in, run, write_model
import pytest
from robot_bag import Robot

PAGE = DOCS / 'tutorials' / 'own_model.md'
# The robot of the page: candidates in base_link, 60 ms late, of which it executes one.
DAYS = {'monday': 8, 'tuesday': 7, 'friday': 8}


def successes(count):
    return tuple(n % 2 == 0 for n in range(count))


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """Make a folder with the recordings, and a small model in the place of the shipped one."""
    monkeypatch.chdir(tmp_path)
    write_model(tmp_path)
    for day, count in DAYS.items():
        Robot(successes=successes(count), frame='base_link').write(tmp_path / day)
        # The outcomes are to be filled in.
        Path(f'{day}.csv').unlink()
    return tmp_path


@pytest.mark.timeout(600)
def test_the_commands_of_the_page_make_a_model_of_the_robot(clone):
    done = []
    for words in commands(PAGE):
        if 'config/cells/oblique_table.yaml' in words:
            # The rest of the page simulates a cell.
            break
        run(words)
        if '--template' in words:
            fill_in(Path(f'{words[2]}.csv'), successes(DAYS[words[2]]))
            assert Path(f'{words[2]}.png').stat().st_size > 1000
        done.append(words[1])
    assert done == ['label'] * 4 + ['evaluate', 'import', 'train', 'evaluate']
    samples = load_scenes('data/mine')
    assert len(samples) == DAYS['monday'] + DAYS['tuesday']
    # base_link is 1 m below the camera, which looks down.
    assert samples[0].candidates[3] == pytest.approx([0.02, 0.01, 0.5, 0], abs=1e-5)
    notes = read_header('runs/mine/finetuned.safetensors')[1]
    assert notes['initial'] == verify(Path('models/grasp_moss.safetensors'))
    assert notes['without_lead_time'] == len(samples)
    assert notes['held_out_by'] == 'bag' and notes['held_out'] >= DAYS['tuesday']
    for name in ('before', 'after'):
        assert Path(f'out/{name}/report.html').exists()
    with Path('out/after/attempts.csv').open(encoding='utf-8') as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == DAYS['friday'] and all(x['source'] == 'executed' for x in rows)


def test_the_page_shows_each_step_once_and_its_pictures_are_there():
    kinds = [words[1] for words in commands(PAGE)]
    assert kinds == ['label'] * 4 + ['evaluate', 'import', 'train', 'evaluate',
                                     'record', 'record', 'train', 'train']
    pictures = re.findall(r'!\[.+?\]\((.+?)\)', PAGE.read_text(encoding='utf-8'))
    assert len(pictures) == 2 and all((PAGE.parent / x).exists() for x in pictures)
