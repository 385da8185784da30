"""A fleet of recordings: records in a store, shards, merging, and recordings at addresses."""

import json
from pathlib import Path
import re
import shutil
import threading

from moss_perception.cli.main import main as moss
from moss_perception.core.errors import BagError, ConfigError
from moss_perception.data.remote import Cache, local, parse_size, state_of
from moss_perception.evaluation.runs import Shard
import pytest


@pytest.fixture
def fleet(factory, tmp_path, tiny_checkpoint, capsys):
    """Return a function that evaluates three recordings and returns what was printed."""
    bags = [factory.write_bag(tmp_path / f'bag_{fill}', factory.attempt_run(
        fill, success=str(fill < 8).lower())) for fill in (3, 7, 9)]

    def evaluate(*options, bags=bags, status=0):
        assert moss(['evaluate', *map(str, bags), *(
            [] if '--merge' in options else ['--model', str(tiny_checkpoint)]),
            *map(str, options)]) == status
        return capsys.readouterr().out
    evaluate.bags = bags
    return evaluate


def contents(folder):
    """Return the files of a report without the time at which it was written."""
    found = {path.name: path.read_text() for path in folder.iterdir()}
    return {name: re.sub(r'\d{4}-\d\d-\d\d \d\d:\d\d UTC', 'then', text)
            for name, text in found.items()}


def times(store):
    return {path: path.stat().st_mtime_ns for path in (store / 'records').rglob('*.json')}


def the_record(store):
    return next(iter(sorted((store / 'records').rglob('*.json'))))


def test_what_has_a_record_is_not_evaluated_again(fleet, tmp_path, caplog):
    caplog.set_level('INFO')
    store = tmp_path / 'store'
    fleet('--store', store, '--report', tmp_path / 'first')
    assert '0 of 3 records are in' in caplog.text
    before = times(store)
    fleet('--store', store, '--report', tmp_path / 'second', '--workers', '2')
    assert '3 of 3 records are in' in caplog.text and len(before) == 3
    assert times(store) == before
    assert contents(tmp_path / 'first') == contents(tmp_path / 'second')
    # A copy of a recording is known by its contents, and reported at its own path.
    shutil.copytree(fleet.bags[0], tmp_path / 'copy')
    assert str(tmp_path / 'copy') in fleet('--store', store, bags=[tmp_path / 'copy'])
    assert '1 of 1 records are in' in caplog.text


@pytest.mark.parametrize('change', ['recording', 'options', 'outcomes', 'code'])
def test_another_task_has_another_record(fleet, factory, tmp_path, caplog, monkeypatch, change):
    caplog.set_level('INFO')
    store, bags, options = tmp_path / 'store', fleet.bags[:1], ()
    fleet('--store', store, bags=bags)
    if change == 'recording':
        shutil.rmtree(bags[0])
        factory.write_bag(bags[0], factory.attempt_run(3, success='false'))
    elif change == 'outcomes':
        (tmp_path / 'a.csv').write_text('start,end,success\n1700000000,1700000002,1\n')
        options = '--outcomes', tmp_path / 'a.csv'
    elif change == 'options':
        options = '--threads', '2'
    else:
        monkeypatch.setattr('moss_perception.evaluation.stored.code_digest', lambda: 'other')
        monkeypatch.setattr('moss_perception.evaluation.batch.code_digest', lambda: 'other')
    fleet('--store', store, *options, bags=bags)
    assert caplog.text.count('0 of 1 records are in') == 2


@pytest.mark.parametrize(('damage', 'said'), [
    (lambda text: text[:200], 'is not a readable record of a store'),
    (lambda text: text.replace('"frames": 30', '"frames": 31'), 'do not have the sha256'),
    (lambda text: '{"format": "x", "task": {}, "record": {}}', "its format is 'x', expected")])
def test_a_damaged_record_is_made_again_with_a_word_and_refused_by_a_merge(
        fleet, tmp_path, caplog, damage, said):
    store, bags = tmp_path / 'store', fleet.bags[:1]
    fleet('--store', store, bags=bags)
    path = the_record(store)
    path.write_text(damage(whole := path.read_text()))
    fleet('--merge', store, bags=[], status=1)
    assert said in caplog.text and caplog.text.count('\n') == 1
    caplog.clear()
    fleet('--store', store, bags=bags)
    assert said in caplog.text and f'evaluating {bags[0]} again' in caplog.text
    assert json.loads(path.read_text())['task'] == json.loads(whole)['task']


def test_a_record_of_another_task_is_not_taken(fleet, tmp_path, caplog):
    store = tmp_path / 'store'
    fleet('--store', store)
    first, second, _ = sorted((store / 'records').rglob('*.json'))
    shutil.copy(first, second)
    fleet('--merge', store, bags=[], status=1)
    assert 'it belongs to another task' in caplog.text
    second.unlink()
    fleet('--merge', store, bags=[], status=1)
    assert f'the record {second} of' in caplog.text


def test_shards_merge_to_the_report_of_one_run(fleet, tmp_path):
    one, shards = tmp_path / 'one', [tmp_path / f'shard_{n}' for n in (1, 2)]
    fleet('--store', one, '--report', tmp_path / 'whole')
    for number, store in enumerate(shards, start=1):
        # The times in the records are those of one run, as only these may differ.
        shutil.copytree(one / 'records', store / 'records')
        fleet('--store', store, '--shard', f'{number}/2')
    out = fleet('--merge', *reversed(shards), '--report', tmp_path / 'merged', bags=[])
    assert '2 of 3 attempts succeeded' in out
    assert contents(tmp_path / 'merged') == contents(tmp_path / 'whole')


def test_a_missing_shard_is_refused_by_number(fleet, tmp_path, caplog):
    fleet('--store', tmp_path, '--shard', '2/3')
    fleet('--merge', tmp_path, '--report', tmp_path / 'report', bags=[], status=1)
    assert 'shard 1, 3 of 3 is missing, of 3 recordings' in caplog.text
    assert not (tmp_path / 'report').exists()


def test_a_shard_of_other_code_is_refused(fleet, tmp_path, monkeypatch, caplog):
    fleet('--store', tmp_path, '--shard', '1/2')
    for name in ('stored', 'batch', 'runs'):
        monkeypatch.setattr(f'moss_perception.evaluation.{name}.code_digest', lambda: 'other')
    fleet('--store', tmp_path, '--shard', '2/2')
    fleet('--merge', tmp_path, bags=[], status=1)
    assert 'shard 1 of 2 was evaluated by other code' in caplog.text


def test_more_shards_than_recordings_leave_some_empty(fleet, tmp_path):
    for number in range(1, 5):
        out = fleet('--store', tmp_path, '--shard', f'{number}/4')
        assert ('no recordings' in out) == (number == 4)
    assert '2 of 3 attempts succeeded' in fleet('--merge', tmp_path, bags=[])


@pytest.mark.parametrize('name', ['damaged.mcap', 'missing.mcap'])
def test_a_bad_recording_does_not_keep_the_others_from_the_store(fleet, tmp_path, caplog, name):
    (tmp_path / 'damaged.mcap').write_bytes(b'nothing')
    store = tmp_path / 'store'
    fleet('--store', store, bags=[tmp_path / name, *fleet.bags], status=1)
    said = caplog.text
    assert "1 of 4 recordings can't be used, the others are in" in said and name in said
    assert said.count('\n') == 1 and len(times(store)) == 3 and not (store / 'runs').exists()


@pytest.mark.parametrize('text', ['0/2', '3/2', '1', 'a/b', '1/0', '-1/2'])
def test_a_shard_is_k_of_n(text):
    with pytest.raises(ConfigError, match='expected K/N with K from 1 to N'):
        Shard.parse(text)


@pytest.mark.parametrize(('options', 'said'), [
    (['bag', '--shard', '1/2'], '--shard: expected --store'),
    (['bag', '--store', 'x', '--shard', '1/2', '--report', 'y'], 'expected it with --merge'),
    (['bag', '--merge', 'x'], 'expected recordings, or --records'),
    (['--merge', 'x', '--workers', '2'], '--workers: not allowed with --merge'),
    (['bag', '--scores', 'recorded', '--store', 'x'], '--store: not allowed with --scores')])
def test_options_that_do_not_fit_are_usage_errors(options, said, capsys):
    with pytest.raises(SystemExit) as info:
        moss(['evaluate', *options])
    assert info.value.code == 2 and said in capsys.readouterr().err


def test_a_folder_without_runs_is_refused(fleet, tmp_path, caplog):
    fleet('--merge', tmp_path / 'none', bags=[], status=1)
    assert 'no finished run' in caplog.text


@pytest.fixture
def address(fleet, tmp_path, monkeypatch):
    """Put a recording into a storage in memory, and the cache into the test's folder."""
    import fsspec
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    memory = fsspec.filesystem('memory')
    memory.put(str(fleet.bags[0]), '/fleet/bag_3', recursive=True)
    yield 'memory://fleet/bag_3'
    memory.rm('/fleet', recursive=True)


def test_a_recording_at_an_address_is_fetched_once(fleet, address, tmp_path, caplog, monkeypatch):
    caplog.set_level('INFO')
    store = tmp_path / 'store'
    out = fleet('--store', store, bags=[f'real:{address}'])
    assert f'{address}: 30 images' in out and 'real: 1 of 1' in out
    shutil.rmtree(tmp_path / 'cache')
    fleet('--store', store, bags=[f'real:{address}'])
    assert '1 of 1 records are in' in caplog.text and not (tmp_path / 'cache').exists()
    assert fleet(bags=[address], status=0) and fleet('--check', bags=[address]) == ''


@pytest.mark.parametrize(('name', 'said'), [
    ('memory://fleet/none', 'no such recording'), ('nowhere://x/bag', "can't be read"),
    ('memory://fleet/none.mcap', "can't be read")])
def test_an_address_without_a_recording_is_refused(fleet, address, caplog, name, said):
    fleet(bags=[name], status=1)
    assert name in caplog.text and said in caplog.text and caplog.text.count('\n') == 1


def test_the_cache_is_bounded_and_keeps_what_is_in_use(tmp_path):
    import fsspec
    memory = fsspec.filesystem('memory')
    for name in 'abc':
        memory.pipe(f'/small/{name}.mcap', name.encode() * 400)
    cache = Cache(tmp_path, 1000)

    def copies():
        return {path.name for path in tmp_path.rglob('*.mcap')}
    with local('memory://small/a.mcap', cache) as first:
        with local('memory://small/b.mcap', cache):
            assert copies() == {'a.mcap', 'b.mcap'}
        with local('memory://small/c.mcap', cache):
            assert copies() == {'a.mcap', 'c.mcap'}
        assert Path(first).read_text() == 'a' * 400
        # A copy that has no room waits until another one is no longer in use.
        taken = threading.Event()

        def take():
            with local('memory://small/b.mcap', Cache(tmp_path, 500)):
                taken.set()
        waiting = threading.Thread(target=take)
        waiting.start()
        assert not taken.wait(0.6)
    waiting.join(20)
    assert taken.is_set() and copies() == {'b.mcap'}
    with pytest.raises(BagError, match='has 400 bytes: expected at most --cache-size, 399'), \
            local('memory://small/a.mcap', Cache(tmp_path, 399)):
        pass
    state = state_of('memory://small/a.mcap')
    memory.pipe('/small/a.mcap', b'other')
    assert state_of('memory://small/a.mcap') != state
    memory.rm('/small', recursive=True)


@pytest.mark.parametrize(('text', 'size'), [('20G', 20 * 2**30), ('1.5M', 3 * 2**19), ('7', 7)])
def test_a_size_has_a_unit(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize('text', ['', '0', '-1G', '5X', 'many'])
def test_a_size_that_is_none_is_refused(text):
    with pytest.raises(ConfigError, match='expected a size such as 20G'):
        parse_size(text)


def test_all_runs_of_a_checkpoint_are_reported_together(fleet, tmp_path, caplog, monkeypatch):
    october, november = tmp_path / 'october', tmp_path / 'november'
    fleet('--store', october, bags=fleet.bags[:2])
    # One of them is evaluated again, with the newest.
    for name in ('stored', 'batch', 'runs'):
        monkeypatch.setattr(f'moss_perception.evaluation.{name}.code_digest', lambda: 'other')
    fleet('--store', november, bags=fleet.bags[1:])
    assert '1 of 2 attempts succeeded' in fleet('--merge', october, november, bags=[])
    assert 'by other code' not in caplog.text
    out = fleet('--merge', october, november, '--all-runs', '--report', tmp_path / 'r', bags=[])
    assert '2 of 3 attempts succeeded' in out
    assert '1 of 2 runs were evaluated by other code than the newest one' in caplog.text
    found = json.loads((tmp_path / 'r' / 'report.json').read_text())['checkpoints'][0]
    assert len(found['recordings']) == 3 == found['months'][0]['recordings']
