"""The script of the reliability page: crashes and hangs are counted, and its tables are made."""

import json
from pathlib import Path
import subprocess
import sys

from faulty_trials import Faulty
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
for folder in ('scripts', 'docs/generate'):
    sys.path.append(str(ROOT / folder))

import reliability_parts.common as common  # noqa: E402
from reliability_parts.files import mutated  # noqa: E402


def test_crashes_hangs_and_tracebacks_are_counted_and_the_rest_goes_on():
    found = common.try_all(Faulty, (), 10, hang_s=1.5)
    assert found.counts['crash, signal SIGSEGV'] == found.counts['hang'] == 1
    assert found.counts['traceback'] == 1 and 'trial 6: ArithmeticError' in found.faults[-1]
    assert found.more == [{'ended': True}]


def test_a_file_is_damaged_in_the_same_way_by_the_same_number():
    data = bytes(range(256)) * 4
    made = [mutated(data, np.random.default_rng([1, k])) for k in (0, 0, 1)]
    assert made[0] == made[1] != made[2] and made[0] != data


def test_a_part_that_was_not_run_says_so_and_a_small_run_is_refused(tmp_path, monkeypatch):
    import reliability as page
    if not hasattr(page, 'WRITERS'):
        # scripts/ has a module of this name too.
        del sys.modules['reliability']
        monkeypatch.syspath_prepend(str(ROOT / 'docs' / 'generate'))
        import reliability as page
    monkeypatch.setattr(page, 'RESULTS', tmp_path)
    assert 'Not run yet: `python scripts/reliability.py dds`' in page.markdown('dds')()
    content = {'small': True, 'figures': {}}
    (tmp_path / 'reliability_dds.json').write_text(json.dumps(content))
    with pytest.raises(ValueError, match='small run'):
        page.markdown('dds')()


def test_the_parts_are_listed_and_an_unknown_one_is_refused():
    script = [sys.executable, str(ROOT / 'scripts' / 'reliability.py')]
    listed = subprocess.run([*script, '--list'], capture_output=True, text=True, timeout=60)
    assert [line.split()[0] for line in listed.stdout.splitlines()] == [
        'messages', 'dds', 'files', 'frames', 'node', 'load', 'faults', 'coverage',
        'conformance']
    done = subprocess.run([*script, 'all'], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and 'unknown part all: expected messages' in done.stderr
