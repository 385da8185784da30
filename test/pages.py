"""The commands of a page of the documentation, run on recordings of a robot made for a test."""

import csv
from pathlib import Path
import re
import shlex

from moss_perception.cli.main import main
from moss_perception.models.checkpoint import save_checkpoint
from tiny import tiny_network

DOCS = Path(__file__).resolve().parents[1] / 'docs'
# What makes the trainings and the scenes of a page small.
SMALL = {'train': ['--epochs', '1', '--threads', '1', '--no-graphs'],
         'evaluate': ['--engine', 'torch', '--threads', '1'], 'import': ['--workers', '1']}
# These need a robot, or hours.
LEFT_OUT = ('bash ', 'source ', 'ros2 ', 'python ')


def commands(page: Path) -> list[list[str]]:
    """Return the commands of a page in order, each as words, without those that need a robot."""
    text = page.read_text(encoding='utf-8')
    lines = [line for block in re.findall(r'^```\n(.*?)^```$', text, re.DOTALL | re.MULTILINE)
             for line in block.replace('\\\n', ' ').splitlines() if line.strip()]
    return [shlex.split(line) for line in lines if not line.startswith(LEFT_OUT)]


def run(words: list[str]) -> None:
    """Run a command, which must succeed, on a small scale."""
    assert words[0] == 'moss'
    assert main([*words[1:], *SMALL.get(words[1], [])]) == 0, ' '.join(words)


def fill_in(table: Path, outcomes) -> None:
    """Write the outcomes into a template, as the pages say."""
    with table.open(newline='', encoding='utf-8') as file:
        head, *rows = csv.reader(file)
    assert len(rows) == len(outcomes) and not any(row[head.index('success')] for row in rows)
    for row, success in zip(rows, outcomes, strict=True):
        row[head.index('success')] = 'yes' if success else 'no'
    with table.open('w', newline='', encoding='utf-8') as file:
        csv.writer(file).writerows([head, *rows])


def write_model(folder: Path) -> Path:
    """Write a small model with time inputs, as the shipped one has, in its place in a clone."""
    path = folder / 'models' / 'grasp_moss.safetensors'
    path.parent.mkdir()
    save_checkpoint(path, tiny_network(time_inputs=True, lead_times_s=(0.5, 0.9),
                                       default_lead_time_s=0.7))
    return path
