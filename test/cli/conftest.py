"""Fixtures for the tests of ``moss import``: a robot's recordings, and the command."""

from contextlib import contextmanager
import os
import sys
import time

from moss_perception.cli.main import main
import pytest
from robot_bag import EXECUTED, Robot


@pytest.fixture
def imports(tmp_path, caplog, monkeypatch):
    """Return a function that imports recordings with their tables into ``out``; words are more."""
    monkeypatch.chdir(tmp_path)
    # The day of a sample is that of the place.
    monkeypatch.setenv('TZ', 'UTC0')
    time.tzset()

    def imports(*bags, status=0, table=True, topics=True, out='out', words=()):
        caplog.clear()
        caplog.set_level('INFO')
        words = [*map(str, bags), *words]
        if table:
            words += [x for bag in bags if (tmp_path / f'{bag}.csv').exists()
                      for x in ('--outcomes', f'{bag}.csv')]
        if topics:
            words += ['--executed-topic', EXECUTED]
        assert main(['import', *words, '--out', out]) == status
        assert bool(list(tmp_path.glob(f'{out}/*'))) == (status == 0), 'half-written'
        return caplog.text
    yield imports
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def robot(tmp_path):
    """Return a function that writes a robot's recording, by name."""
    def write(name='bag', **values):
        Robot(**values).write(tmp_path / name)
        return name
    return write


@pytest.fixture
def unread(monkeypatch):
    """Return a context in which nothing reads the output, as after the end of ``head``."""
    @contextmanager
    def unread():
        reading, writing = os.pipe()
        os.close(reading)
        with os.fdopen(writing, 'w') as output, monkeypatch.context() as changed:
            changed.setattr(sys, 'stdout', output)
            yield
    return unread
