"""The commands of the tutorial 'A model for your robot in an afternoon', on a small recording."""

import csv
from pathlib import Path
import re
import shlex
import shutil

from moss_perception.cli.main import main
from moss_perception.data.scenes import load_scenes
from moss_perception.models.manifest import read_header, verify
import pytest
from robot_bag import Robot

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / 'docs' / 'tutorials' / 'own_model.md'
# The robot of the page: candidates in base_link, 60 ms late, of which it executes one.
DAYS = {'monday': 8, 'tuesday': 7, 'friday': 8}
# What makes the trainings and the scenes of the page small.
SMALL = {'train': ['--epochs', '1', '--threads', '1', '--no-graphs'],
         'evaluate': ['--engine', 'torch', '--threads', '1'], 'import': ['--workers', '1']}
# These need a robot, or hours.
LEFT_OUT = ('bash ', 'source ', 'ros2 ', 'python ')


def commands():
    """Return the commands of the page in order, each as words."""
    text = PAGE.read_text(encoding='utf-8')
    lines = [line for block in re.findall(r'^```\n(.*?)^```$', text, re.DOTALL | re.MULTILINE)
             for line in block.replace('\\\n', ' ').splitlines() if line.strip()]
    return [shlex.split(line) for line in lines if not line.startswith(LEFT_OUT)]


def successes(count):
    return tuple(n % 2 == 0 for n in range(count))


def fill_in(table: Path, outcomes) -> None:
    """Write the outcomes into a template, as the page says."""
    with table.open(newline='', encoding='utf-8') as file:
        head, *rows = csv.reader(file)
    assert len(rows) == len(outcomes) and not any(row[head.index('success')] for row in rows)
    for row, success in zip(rows, outcomes, strict=True):
        row[head.index('success')] = 'yes' if success else 'no'
    with table.open('w', newline='', encoding='utf-8') as file:
        csv.writer(file).writerows([head, *rows])


@pytest.fixture
def clone(tmp_path, monkeypatch, tiny_checkpoint):
    """Make a folder with the recordings, and a small model in the place of the shipped one."""
    monkeypatch.chdir(tmp_path)
    models = tmp_path / 'models'
    models.mkdir()
    for file in tiny_checkpoint.parent.glob('tiny.*'):
        shutil.copy(file, models / file.name.replace('tiny.', 'grasp_moss.'))
    sums = (tiny_checkpoint.parent / 'SHA256SUMS').read_text()
    (models / 'SHA256SUMS').write_text(sums.replace('tiny.', 'grasp_moss.'))
    for day, count in DAYS.items():
        Robot(successes=successes(count), frame='base_link').write(tmp_path / day)
        # The outcomes are to be filled in.
        Path(f'{day}.csv').unlink()
    return tmp_path


@pytest.mark.timeout(600)
def test_the_commands_of_the_page_make_a_model_of_the_robot(clone):
    done = []
    for words in commands():
        if 'config/cells/oblique_table.yaml' in words:
            # The rest of the page simulates a cell.
            break
        assert words[0] == 'moss'
        assert main([*words[1:], *SMALL.get(words[1], [])]) == 0, ' '.join(words)
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
    assert notes['held_out_by'] == 'bag' and notes['held_out'] >= DAYS['tuesday']
    for name in ('before', 'after'):
        assert Path(f'out/{name}/report.html').exists()
    with Path('out/after/attempts.csv').open(encoding='utf-8') as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == DAYS['friday'] and all(x['source'] == 'executed' for x in rows)


def test_the_page_shows_each_step_once_and_its_pictures_are_there():
    kinds = [words[1] for words in commands()]
    assert kinds == ['label'] * 4 + ['evaluate', 'import', 'train', 'evaluate',
                                     'record', 'record', 'train', 'train']
    pictures = re.findall(r'!\[.+?\]\((.+?)\)', PAGE.read_text(encoding='utf-8'))
    assert len(pictures) == 2 and all((PAGE.parent / x).exists() for x in pictures)
