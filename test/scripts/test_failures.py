"""What the terminal of a test run says of a failure, before the run is over."""

import os
from pathlib import Path
import subprocess
import sys

import pytest

TESTS = Path(__file__).resolve().parents[1]
FILE = """
import pytest

def test_fails():
    assert 'too short' == 'long', 'a reason\\nand more'

@pytest.fixture
def broken():
    raise OSError('no device')

def test_is_not_run(broken):
    pass

def test_passes():
    pass
"""


@pytest.mark.parametrize('more', [[], ['-n', '1']])
def test_each_is_named_with_its_reason(tmp_path, more):
    if more:
        pytest.importorskip('xdist')
    (tmp_path / 'test_file.py').write_text(FILE)
    done = subprocess.run(
        [sys.executable, '-m', 'pytest', '-q', '--noconftest', '-p', 'failures', *more],
        cwd=tmp_path, capture_output=True, text=True, check=False,
        # Without the options of the run that this test belongs to.
        env={**os.environ, 'PYTHONPATH': str(TESTS), 'PYTEST_DISABLE_PLUGIN_AUTOLOAD': '1',
             'PYTEST_ADDOPTS': '', 'PYTEST_PLUGINS': 'xdist' if more else ''})
    before, _, _ = done.stdout.partition('= ERRORS =')
    assert 'test_file.py::test_fails (call, 0 s): AssertionError: a reason\n' in before
    assert 'test_file.py::test_is_not_run (setup, 0 s): OSError: no device\n' in before
    assert 'test_passes' not in before and 'and more' not in before
