"""Folders that nobody can write: one line says so, and nothing is left half-written."""

from pathlib import Path

from moss_perception.cli.main import main
from moss_perception.core.errors import MossError
from moss_perception.data.bags.attempts import AttemptFolder
from moss_perception.data.bags.writer import RecordingWriter
from moss_perception.models.checkpoint import load_checkpoint, save_checkpoint
import pytest

# Not even root can make a file here, so that the tests mean the same for every user.
NOWHERE = Path('/proc/nowhere')
SAMPLE = Path(__file__).resolve().parents[1] / 'samples' / 'sim_20'


def test_nobody_can_write_there():
    with pytest.raises(OSError):
        NOWHERE.mkdir()


@pytest.mark.parametrize('words', [
    ('evaluate', SAMPLE, '--report', NOWHERE), ('evaluate', SAMPLE, '--record', NOWHERE / 'x'),
    ('import', SAMPLE, '--out', NOWHERE), ('record', '--scenes', '1', '--out', NOWHERE)],
    ids=lambda words: words[0])
def test_a_command_says_so_in_one_line(words, tmp_path, caplog, capsys, tiny_checkpoint):
    if words[0] == 'evaluate':
        words = (*words, '--model', tiny_checkpoint)
    assert main([str(x) for x in words]) == 1
    lines = [x for x in caplog.records if x.levelname == 'ERROR']
    assert len(lines) == 1 and str(NOWHERE) in lines[0].getMessage(), lines
    assert not lines[0].exc_info and '\n' not in lines[0].getMessage()


def test_a_recorder_of_attempts_says_so():
    with pytest.raises(MossError, match=f'{NOWHERE} .*expected a folder'):
        AttemptFolder(NOWHERE).__enter__()


def test_a_recording_says_so():
    with pytest.raises(MossError, match=str(NOWHERE)):
        RecordingWriter(NOWHERE, frame_id='camera', topics=['/image/compressed']).__enter__()


def test_a_checkpoint_says_so(tiny_checkpoint):
    network = load_checkpoint(tiny_checkpoint)
    with pytest.raises(MossError, match=f'{NOWHERE}/x.safetensors .*expected'):
        save_checkpoint(NOWHERE / 'x.safetensors', network)
