"""Files that are written as a whole or not at all."""

import errno
import os

from moss_perception.core.errors import MossError
from moss_perception.core.files import OutputFolder, replaced
import pytest


def test_a_file_appears_when_it_is_finished_in_the_place_of_the_old_one(tmp_path):
    path = tmp_path / 'deep' / 'scenes_0.npz'
    for text in ('old', 'new'):
        with replaced(path) as partial:
            partial.write_text(text)
            assert not path.exists() or path.read_text() == 'old'
            assert not list(path.parent.glob(f'*{path.suffix}')) or text == 'new'
        assert path.read_text() == text and list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize('error', [OSError(errno.ENOSPC, 'full'), KeyboardInterrupt()])
def test_an_error_leaves_the_old_file_and_no_part_of_the_new(tmp_path, error):
    path = tmp_path / 'result.json'
    path.write_text('old')
    with pytest.raises(type(error)), replaced(path) as partial:
        partial.write_text('ne')
        raise error
    assert path.read_text() == 'old' and list(tmp_path.iterdir()) == [path]


def test_what_was_not_written_replaces_nothing(tmp_path):
    path = tmp_path / 'result.json'
    path.write_text('old')
    with pytest.raises(FileNotFoundError), replaced(path):
        pass
    assert path.read_text() == 'old'


def test_a_link_at_the_temporary_name_is_not_followed(tmp_path):
    victim, path = tmp_path / 'victim', tmp_path / 'out' / 'result.json'
    victim.write_text('kept')
    with replaced(path) as partial:
        names = {partial.name}
        partial.write_text('first')
    (path.parent / names.pop()).symlink_to(victim)
    (path.parent / f'.{path.name}.{os.getpid()}.partial').symlink_to(victim)
    with replaced(path) as partial:
        assert not partial.is_symlink()
        partial.write_text('second')
    assert (path.read_text(), victim.read_text()) == ('second', 'kept')


def test_a_link_at_the_path_is_replaced_and_not_followed(tmp_path):
    (tmp_path / 'victim').write_text('kept')
    path = tmp_path / 'result.json'
    path.symlink_to(tmp_path / 'victim')
    with replaced(path) as partial:
        partial.write_text('new')
    assert not path.is_symlink() and path.read_text() == 'new'
    assert (tmp_path / 'victim').read_text() == 'kept'


def test_a_pipe_is_not_replaced(tmp_path):
    path = tmp_path / 'result.json'
    os.mkfifo(path)
    with pytest.raises(FileExistsError, match='no regular file'), replaced(path) as partial:
        partial.write_text('new')
    assert path.is_fifo() and list(tmp_path.iterdir()) == [path]


def output_folder(path):
    return OutputFolder(path, 'cannot write to --out')


def test_results_appear_together_and_nothing_else_stays(tmp_path):
    place = tmp_path / 'deep' / 'out'
    with output_folder(place) as folder:
        folder.result('summary.json').write_text('new')
        folder.write('report.html', 'page\n')
        folder.scratch('timing.csv').write_text('')
        assert not (place / 'summary.json').exists()
        assert folder.publish() == [place / 'report.html', place / 'summary.json']
    assert sorted(p.name for p in place.iterdir()) == ['report.html', 'summary.json']


def test_a_failure_leaves_no_folder_or_the_old_one(tmp_path):
    old = tmp_path / 'old'
    old.mkdir()
    (old / 'summary.json').write_text('old')
    for place in (old, tmp_path / 'deep' / 'out'):
        with pytest.raises(ValueError), output_folder(place) as folder:
            folder.result('summary.json').write_text('new')
            raise ValueError
    assert [p.read_text() for p in old.iterdir()] == ['old']
    assert [p.name for p in tmp_path.iterdir()] == ['old']


def test_results_that_cannot_be_flushed_leave_the_old_ones(tmp_path, monkeypatch):
    (tmp_path / 'summary.json').write_text('old')

    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    monkeypatch.setattr(os, 'fsync', full)
    with output_folder(tmp_path) as folder:
        folder.write('summary.json', 'new')
        with pytest.raises(MossError, match=f'cannot write to --out {tmp_path}: No space left'):
            folder.publish()
    assert [p.read_text() for p in tmp_path.iterdir()] == ['old']


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / 'file').touch()
    with pytest.raises(MossError, match='cannot write to --out .*file'):
        output_folder(tmp_path / 'file').__enter__()
    assert [p.name for p in tmp_path.iterdir()] == ['file']
