"""What the commands share."""

import errno
from pathlib import Path

from moss_perception.cli.common import in_ranges, name_ranges, training_seeds, write_text
from moss_perception.core.errors import CheckpointError, MossError
from moss_perception.training.samples import seed_ranges
import pytest

from study import draw_similarities


def test_a_full_disk_leaves_the_old_file_and_no_part_of_the_new(tmp_path, monkeypatch):
    path, write = tmp_path / 'result.json', Path.write_bytes
    write_text(path, 'old')

    def fill_up(self, data):
        write(self, data[:2])
        raise OSError(errno.ENOSPC, 'No space left on device')
    monkeypatch.setattr(Path, 'write_bytes', fill_up)
    with pytest.raises(MossError, match="result.json can't be written: No space left"):
        write_text(path, 'newer')
    assert path.read_text() == 'old' and list(tmp_path.iterdir()) == [path]


def test_the_help_of_a_study_command_says_what_each_status_means(capsys):
    with pytest.raises(SystemExit) as info:
        draw_similarities.main(['--help'])
    assert info.value.code == 0
    said = ' '.join(capsys.readouterr().out.split())
    assert 'Exit status: 0 ' in said and '2 wrong arguments' in said and '130 interrupted' in said


def test_seeds_between_two_training_sets_were_not_trained_on():
    seeds = [*range(2_000_000, 2_000_010), *(seed for seed in range(50) if seed != 7)]
    ranges = training_seeds({'seeds': [0, 2_000_009], 'seed_ranges': seed_ranges(seeds)})
    assert ranges == [(0, 49), (2_000_000, 2_000_009)]
    assert in_ranges(7, ranges) and in_ranges(2_000_009, ranges)
    assert not in_ranges(1_000_000, ranges) and not in_ranges(None, ranges)
    assert name_ranges(ranges) == '0 to 49 and 2000000 to 2000009'
    assert training_seeds({'seeds': [0, 99]}) == [(0, 99)]
    with pytest.raises(CheckpointError, match="expected 'seeds' in its notes"):
        training_seeds({})
