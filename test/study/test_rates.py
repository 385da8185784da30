"""The command that measures cameras of other rates, and stamps with errors."""

from dataclasses import replace
import json

from moss_perception.data.shards import write_shard
from moss_perception.models.checkpoint import save_checkpoint
import numpy as np
import pytest
from spots import MATRIX, scene
from tiny import tiny_network

from study.rates import main, stamped


def test_errors_of_stamps_keep_the_order_and_the_decision():
    sample = scene(3)
    wrong = stamped(sample, 0.2)
    assert (np.diff(wrong.times_ns) >= 0).all() and wrong.times_ns[-1] == sample.times_ns[-1]
    assert not np.array_equal(wrong.times_ns, sample.times_ns)
    assert stamped(sample, 0.0) is sample


@pytest.fixture
def given(tmp_path):
    checkpoint = tmp_path / 'tiny.safetensors'
    save_checkpoint(checkpoint, tiny_network(
        time_inputs=True, lead_times_s=(0.5, 0.9), default_lead_time_s=0.7), {'seeds': [[90, 99]]})
    write_shard(tmp_path / 'set' / 'scenes_00000000.npz',
                [replace(scene(n), lead_time_s=0.7) for n in range(6)], MATRIX)
    return ['--checkpoint', str(checkpoint), '--scenes', f'sim={tmp_path / "set"}']


def test_each_rate_and_jitter_is_compared_with_the_undisturbed_camera(given, tmp_path, capsys):
    page, out = tmp_path / 'page.md', tmp_path / 'rates.json'
    page.write_text('<!-- begin rates | success -->\n<!-- end -->\n')
    assert main([*given, '--rates', '5', '--jitter', '0.02', '--out', str(out),
                 '--page', str(page)]) == 0
    found = json.loads(out.read_text())['sets']['sim']
    assert [(x['rate_hz'], x['jitter_s']) for x in found] == [
        (10, 0), (10, 0.02), (5, 0), (5, 0.02)]
    assert found[0]['against_own_rate']['difference'] == 0
    shown = capsys.readouterr().out
    assert shown.strip() in page.read_text()
    assert main(['--results', str(out)]) == 0 and capsys.readouterr().out == shown


@pytest.mark.parametrize('words, line', [
    (['--rates', '15'], '--rates 15 is not allowed: expected 0 to 10 Hz, the rate of the check'),
    (['--jitter', '-1'], '--jitter -1 is not allowed: expected 0 to below 1 s')])
def test_what_cannot_be_measured_is_refused(given, words, line, caplog):
    assert main([*given, *words]) == 1
    assert line in caplog.text
