"""The command ``moss clips``, as it is started."""

import subprocess

from moss_perception.data.bags.reader import Recording
import pytest


@pytest.fixture
def run(programs, tmp_path):
    def start(*arguments):
        return subprocess.run(
            [*programs.command('moss'), 'clips', *map(str, arguments)], cwd=tmp_path,
            env=programs.environment(), capture_output=True, text=True, timeout=100)
    return start


@pytest.fixture
def folder(tmp_path, clip_factory):
    for name in ('one.avi', 'two.avi'):
        clip_factory.write_clip(tmp_path / 'clips' / name, 12)
    (tmp_path / 'clips.csv').write_text(
        'clip,success,decision\none.avi,true,0.8\ntwo.avi,false,\n')
    return tmp_path / 'clips'


def test_a_folder_and_a_csv_become_a_recording(run, folder, tmp_path):
    (folder / 'three.avi').write_bytes(b'no film')
    with (tmp_path / 'clips.csv').open('a') as file:
        file.write('three.avi,true,\n')
    done = run('clips', '--outcomes', 'clips.csv', '--out', 'out/bag', '--drops', 0.1)
    assert done.returncode == 0, done.stderr
    with Recording(tmp_path / 'out' / 'bag') as recording:
        assert [(x.success, x.domain) for x in recording.outcomes()] == [
            (True, 'real.drops_0.1'), (False, 'real.drops_0.1')]
    assert '2 attempts, 1 of them successful; 2 in real.drops_0.1' in done.stderr
    assert '1 attempts have no decision time in the CSV file' in done.stderr
    assert '1 clips were left out: three.avi' in done.stderr
    assert '2 decisions are earlier than 1.5 s' in done.stderr
    assert [x.name for x in (tmp_path / 'out').iterdir()] == ['bag']


def test_what_does_not_fit_together_is_one_line_and_no_recording(run, folder, tmp_path):
    (folder / 'two.avi').rename(folder / 'other.avi')
    done = run('clips', '--outcomes', 'clips.csv', '--out', 'bag')
    assert done.returncode == 1
    assert 'two.avi' in done.stderr and 'Traceback' not in done.stderr
    assert not (tmp_path / 'bag').exists()


def test_labels_are_asked_for_or_renounced(run, folder, tmp_path):
    done = run('clips', '--out', 'bag')
    assert done.returncode == 2 and '--unlabelled' in done.stderr
    done = run('clips', '--out', 'bag', '--unlabelled')
    assert done.returncode == 0 and '2 clips without an outcome' in done.stderr
    with Recording(tmp_path / 'bag') as recording:
        assert set(recording.topics) == {'/image/compressed'}
