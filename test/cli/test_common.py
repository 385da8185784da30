"""What the commands share."""

import errno
from pathlib import Path

from moss_perception.cli.common import write_text
from moss_perception.core.errors import MossError
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
