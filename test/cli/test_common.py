"""What the commands share."""

import argparse
import errno
import logging
from pathlib import Path
import sys

from moss_perception.cli.common import run_command, write_text
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


@pytest.mark.parametrize('lines', [1, 10_000])
def test_an_output_that_nobody_reads_is_one_line_and_no_traceback(unread, caplog, lines):
    def command(arguments):
        for _ in range(lines):
            print('a line')
        return 0
    with unread():
        assert run_command(command, argparse.Namespace(), logging.getLogger('test')) == 1
        sys.stdout.flush()
    line, = caplog.messages
    assert 'has ended, so the rest is not printed' in line


def test_another_broken_pipe_is_no_matter_of_the_output(tmp_path, monkeypatch):
    def command(arguments):
        raise BrokenPipeError
    with (tmp_path / 'output').open('w') as output, monkeypatch.context() as changed:
        changed.setattr(sys, 'stdout', output)
        with pytest.raises(BrokenPipeError):
            run_command(command, argparse.Namespace(), logging.getLogger('test'))
