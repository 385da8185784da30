"""What the script of the study says about options that do not fit, before it sets anything up."""

from pathlib import Path
import subprocess

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / 'scripts' / 'reproduce.sh'


@pytest.mark.parametrize(('words', 'message'), [
    (['--clips', '.'], '--clips belongs to --video'),
    (['--video'], '--video without --small needs your clips'),
    (['--video', '--small', '--clips', 'gone'], 'gone has no clips.tsv'),
    (['--video', '--small', '--clips'], '--clips has no value'),
    (['--video', '--small', '--seeds', '0'], "'0' is not allowed"),
    (['--video', '--small', '--fast'], "unknown argument '--fast'")])
def test_an_option_that_does_not_fit_is_named(words, message, tmp_path):
    done = subprocess.run(['bash', str(SCRIPT), *words], cwd=tmp_path, timeout=60,
                          capture_output=True, text=True)
    assert done.returncode == 1 and message in done.stderr
    assert not list(tmp_path.iterdir())
