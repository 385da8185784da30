"""A folder of attempts keeps each finished attempt, whatever ends the recorder."""

from dataclasses import replace
import errno
import os
from pathlib import Path
import shutil

from moss_perception.core.errors import BagError
from moss_perception.data.bags import attempts as attempts_module
from moss_perception.data.bags.attempts import AttemptFolder, counts_of, groups_of, labels_of
from moss_perception.data.bags.metadata import custom_data
from moss_perception.data.bags.reader import Recording
import pytest

TOPICS = (('/image', 'sensor_msgs/msg/Image'),
          ('/grasp_outcome', 'diagnostic_msgs/msg/DiagnosticArray'))
LABELS = {'day': '2026-03-02', 'object': 'cup', 'operator': ''}


@pytest.fixture
def write(factory):
    """Return a function that writes an attempt of ten images, up to its end or less far."""
    def write(folder, success=True, finish=True):
        number = folder.next_number
        begin_ns = factory.START_NS + number * 10**10
        writer = folder.begin(TOPICS)
        for index in range(10):
            one = factory.image(begin_ns + index * 10**8, side=64, fill=number)
            writer.serialised(one.topic, one.type, one.stamp_ns, one.raw)
        end_ns = begin_ns + 10**9
        seconds = f'{begin_ns // 10**9}.0'
        one = factory.outcome(end_ns, attempt=str(number), start=seconds, decision=seconds,
                              end=f'{end_ns // 10**9}.0', success=str(success).lower())
        writer.serialised(one.topic, one.type, one.stamp_ns, one.raw)
        writer.label(number, LABELS)
        if finish:
            writer.finish()
        return writer
    return write


def read(path):
    """Return the numbers of the attempts, and of the images, of a folder that must be whole."""
    with Recording(path) as recording:
        return ([x.attempt for x in recording.outcomes()],
                len(list(recording.messages(['/image']))))


def test_each_attempt_is_a_file_and_all_are_one_recording(tmp_path, write):
    with AttemptFolder(tmp_path / 'out') as folder:
        for success in (True, False, True):
            write(folder, success)
            count = folder.next_number - 1
            assert read(folder.path) == (list(range(1, count + 1)), 10 * count)
    assert sorted(x.name for x in folder.path.iterdir()) == [
        'attempt_0001.mcap', 'attempt_0002.mcap', 'attempt_0003.mcap', 'metadata.yaml']
    assert read(folder.path / 'attempt_0002.mcap') == ([2], 10)
    assert groups_of(folder.path) == {n: {'day': '2026-03-02', 'object': 'cup'}
                                      for n in (1, 2, 3)}
    with Recording(folder.path) as recording:
        stamps = [x for _, _, x, _ in recording.messages()]
        assert stamps == sorted(stamps) and recording.end_ns == stamps[-1]
        assert recording.message_count == len(stamps) == 33


def test_a_folder_is_continued(tmp_path, write):
    with AttemptFolder(tmp_path) as folder:
        write(folder)
        write(folder, success=False)
    with AttemptFolder(tmp_path) as folder:
        assert counts_of(folder.outcomes) == {'succeeded': 1, 'failed': 1}
        assert folder.next_number == 3
        write(folder)
    assert read(tmp_path) == ([1, 2, 3], 30)


def test_discard_leaves_nothing(tmp_path, write):
    with AttemptFolder(tmp_path / 'new') as folder:
        write(folder, finish=False).discard()
        assert list(folder.path.iterdir()) == []
    assert not (tmp_path / 'new').exists()


def test_an_unfinished_attempt_is_no_part_of_the_recording_and_removed_later(tmp_path, write):
    with AttemptFolder(tmp_path) as folder:
        write(folder)
        write(folder, finish=False)
    # As after kill -9: nothing was closed or removed.
    assert len(list(tmp_path.glob('.attempt_*'))) == 1
    assert read(tmp_path) == ([1], 10)
    with AttemptFolder(tmp_path) as folder:
        assert folder.unfinished == 1 and folder.next_number == 2
    assert sorted(x.name for x in tmp_path.iterdir()) == ['attempt_0001.mcap', 'metadata.yaml']


def test_a_complete_file_that_is_not_listed_is_taken_over(tmp_path, write):
    with AttemptFolder(tmp_path) as folder:
        write(folder)
        before = (tmp_path / 'metadata.yaml').read_text()
        write(folder)
    # As if the recorder had been killed between moving the file and replacing the metadata.
    (tmp_path / 'metadata.yaml').write_text(before)
    assert read(tmp_path) == ([1], 10)
    with AttemptFolder(tmp_path) as folder:
        assert len(folder.outcomes) == 2
    assert read(tmp_path) == ([1, 2], 20) and set(groups_of(tmp_path)) == {1, 2}


@pytest.mark.parametrize('step', ['write', 'sync', 'metadata'])
def test_on_a_full_disk_the_finished_attempts_stay_and_the_new_one_leaves_nothing(
        tmp_path, write, monkeypatch, step):
    def full(*_):
        raise OSError(errno.ENOSPC, 'No space left on device')
    with AttemptFolder(tmp_path) as folder:
        write(folder)
        writer = write(folder, finish=False)
        if step == 'write':
            monkeypatch.setattr(writer._bag.storage, 'close', full)
        elif step == 'sync':
            monkeypatch.setattr(os, 'fsync', full)
        else:
            monkeypatch.setattr(attempts_module, '_merged', full)
        with pytest.raises(BagError, match=r'could not write .*attempt_0002: No space left'):
            writer.finish()
        monkeypatch.undo()
        assert sorted(x.name for x in tmp_path.iterdir()) == [
            'attempt_0001.mcap', 'metadata.yaml']
        assert read(tmp_path) == ([1], 10)
        write(folder)
    assert read(tmp_path) == ([1, 2], 20)


def test_one_recorder_keeps_another_out(tmp_path):
    with AttemptFolder(tmp_path), pytest.raises(BagError, match='in use by another recorder'):
        AttemptFolder(tmp_path).__enter__()


@pytest.mark.parametrize(('make', 'said'), [
    (lambda path: path.write_text(''), "can't be used: File exists"),
    (lambda path: (path.mkdir(), (path / 'bag_0.mcap').write_text('')),
     'holds bag_0.mcap, which is no attempt: expected an empty folder'),
    (lambda path: (path.mkdir(), (path / 'attempt_0001.mcap').write_text('no')),
     'attempt_0001.mcap is damaged: .*move it to another folder')])
def test_a_folder_that_cannot_be_used_is_named(tmp_path, make, said):
    make(tmp_path / 'out')
    with pytest.raises(BagError, match=said):
        AttemptFolder(tmp_path / 'out').__enter__()


def test_labels_are_those_of_the_recorded_attempt_in_which_the_decision_lies(tmp_path, write):
    with AttemptFolder(tmp_path / 'out') as folder:
        for operator in ('ada', 'bob'):
            writer = write(folder, finish=False)
            writer.label(folder.next_number, {'operator': operator})
            writer.finish()
    for path, expected in ((folder.path, ['bob', 'ada', None]),
                           (folder.path / 'attempt_0001.mcap', [None, 'ada', None])):
        with Recording(folder.path) as recording:
            first, second = recording.outcomes()
        # A table numbers its rows as it likes.
        rows = [replace(second, attempt=1), first, replace(
            first, start_ns=first.end_ns + 1, decision_ns=first.end_ns + 1,
            end_ns=first.end_ns + 2)]
        with Recording(path) as recording:
            assert [x.get('operator') for x in labels_of(recording, rows)] == expected


def test_labels_that_make_no_sense_are_named(tmp_path, write):
    with AttemptFolder(tmp_path) as folder:
        write(folder)
    metadata = Path(tmp_path / 'metadata.yaml')
    metadata.write_text(metadata.read_text().replace('"object"', 'object'))
    assert custom_data(tmp_path)
    with pytest.raises(BagError, match="the group labels can't be read"):
        groups_of(tmp_path)
    shutil.rmtree(tmp_path)
    assert groups_of(tmp_path) == {}
