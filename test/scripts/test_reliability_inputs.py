"""What scripts/reliability.py reads: the recordings of MCAP, and the inputs of fuzzing."""

import hashlib
import json
from pathlib import Path
import subprocess
import sys

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / 'scripts'))

from reliability_parts import conformance, coverage, fuzz_targets, guided  # noqa: E402
from reliability_parts.mcap_rebuilt import rebuilt  # noqa: E402

# As in the repository of MCAP, of its smallest recording.
NO_DATA = {
    'records': [
        {'type': 'Header', 'fields': [['library', ''], ['profile', '']]},
        {'type': 'DataEnd', 'fields': [['data_section_crc', '3959079795']]},
        {'type': 'Footer', 'fields': [
            ['summary_crc', '1875167664'], ['summary_offset_start', '0'],
            ['summary_start', '0']]}],
    'meta': {'variant': {'features': []}}}
NO_DATA_DIGEST = 'f720b819f6ca73301cd793d7c19e686c4779ca0daa1754ab58c086e435c55a32'


def with_messages(features, times):
    """Return the JSON of a recording with these features; its message indexes are optional."""
    messages = [{'type': 'Message', 'fields': [
        ['channel_id', '1'], ['data', ['1', '2', str(n)]], ['log_time', str(time)],
        ['publish_time', '0'], ['sequence', str(n)]]} for n, time in enumerate(times)]
    definitions = [
        {'type': 'Schema', 'fields': [['data', ['4']], ['encoding', 'c'], ['id', '1'],
                                      ['name', 'Example']]},
        {'type': 'Channel', 'fields': [['id', '1'], ['message_encoding', 'a'], ['metadata', {}],
                                       ['schema_id', '1'], ['topic', 'example']]}]
    header, end, footer = NO_DATA['records']
    return {'records': [header, *definitions, *messages, end, footer],
            'meta': {'variant': {'features': features}}}


@pytest.fixture
def folder(tmp_path):
    """Give a function that writes a JSON file and its recording, or a pointer to it."""
    def write(name, content, data):
        path = tmp_path / 'Kind' / f'{name}.mcap'
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        path.with_suffix('.json').write_text(json.dumps(content))
        return tmp_path
    return write


def pointer(digest):
    return (f'version https://git-lfs.github.com/spec/v1\noid sha256:{digest}\n'
            'size 75\n').encode()


def test_a_recording_of_the_repository_is_made_from_its_json_bit_by_bit(folder):
    assert hashlib.sha256(rebuilt(NO_DATA)).hexdigest() == NO_DATA_DIGEST
    found = conformance.run(folder('NoData', NO_DATA, pointer(NO_DATA_DIGEST)))
    assert (found['recordings'], found['rebuilt'], found['differences']) == (1, 1, [])
    folder('NoData', NO_DATA, pointer('0' * 64))
    with pytest.raises(ValueError, match='try git lfs pull'):
        conformance.run(folder('NoData', NO_DATA, pointer('0' * 64)))


@pytest.mark.parametrize('features', [[], ['ch'], ['ch', 'mx'], ['pad'], ['ch', 'mx', 'pad']])
def test_messages_with_unordered_times_are_read_as_written(folder, features):
    content = with_messages(features, [0, 2, 1, 3, 3])
    found = conformance.run(folder('Five', content, rebuilt(content)))
    assert found['kinds'] == {'Kind': {'files': 1, 'front_to_back': 1, 'differ': 0}}
    assert found['differences'] == [] and found['rebuilt'] == 0


def test_what_differs_is_listed_with_its_file(folder):
    data = rebuilt(with_messages([], [0, 2]))
    found = conformance.run(folder('Two', with_messages([], [0, 2, 1]), data))
    assert found['differences'] == ['Two.mcap: from front to back: 2 messages, expected 3']
    found = conformance.run(folder('Two', with_messages([], [0, 3]), data))
    assert found['differences'] == ['Two.mcap: from front to back: other messages than expected']


def test_each_target_takes_its_own_seeds(tmp_path):
    assert tuple(fuzz_targets.TARGETS) == coverage.NAMES
    from moss_perception.core.errors import MossError
    for name, make in fuzz_targets.TARGETS.items():
        work = tmp_path / name
        work.mkdir()
        target, read = make(work), 0
        for data in target.seeds():
            assert len(data) <= target.longest
            try:
                target.take(data)
                read += 1
            except MossError:
                continue
        assert read, name


def test_an_input_that_raises_is_kept_once_for_each_place(tmp_path, monkeypatch):
    def take(data):
        if data == b'many':
            raise ValueError('lines\nof a stranger')
        if data.startswith(b'bad'):
            raise KeyError(data)
    watched = guided.Watched(take, tmp_path)
    assert [watched.one(x) for x in (b'good', b'bad 1', b'bad 2', b'many')] == [
        'read', 'fault', 'fault', 'fault']
    found = guided.faults(tmp_path)
    assert [(tmp_path / x['input']).read_bytes() for x in found] == [b'bad 1', b'many']
    # A process that follows one that died knows them, and counts on.
    assert guided.Watched(take, tmp_path).one(b'bad 3') == 'fault'
    assert len(guided.faults(tmp_path)) == 2
    monkeypatch.setattr(coverage, 'KEPT', tmp_path / 'kept')
    figures = coverage.figures_of('none', tmp_path, coverage.Counter(), (3, 2, 1))
    assert figures['counts'] == {'read': 1, 'fault': 4} and figures['edges'] == 3
    assert len(list((tmp_path / 'kept' / 'none').iterdir())) == 2


def test_the_covered_branches_are_read_from_the_log():
    log = '#2 INITED cov: 3 ft: 4 corp: 1/1b\n#9 NEW cov: 10 ft: 12 corp: 5/99b lim: 4\n#10 DONE'
    assert coverage.covered_by(log) == (10, 12, 5)
    assert coverage.covered_by('no line of it') == (0, 0, 0)


@pytest.mark.parametrize(('arguments', 'status', 'words'), [
    (['conformance'], 1, 'conformance: not run: --mcap DIR is missing: expected the folder'),
    (['conformance', '--mcap', 'nowhere'], 1, '--mcap nowhere has no */*.mcap'),
    (['--size', '3'], 2, '--size 3 for 0 parts: expected one part')])
def test_a_part_that_lacks_something_says_so_in_one_line(arguments, status, words):
    done = subprocess.run([sys.executable, str(ROOT / 'scripts' / 'reliability.py'), *arguments],
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == status and words in done.stderr.splitlines()[-1]


def test_without_atheris_the_command_that_installs_it_is_said(monkeypatch):
    monkeypatch.setattr('importlib.util.find_spec', lambda name: None)
    assert coverage.missing() == 'atheris is not installed: pip install atheris==3.0.0'
