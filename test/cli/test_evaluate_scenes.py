"""The command `evaluate` on scenes: what it refuses."""

from moss_perception.cli.main import main as moss
from moss_perception.models.checkpoint import save_checkpoint
import pytest
from tiny import tiny_network


def test_scenes_of_which_none_is_in_view_are_one_line(monkeypatch, tiny_checkpoint, caplog):
    monkeypatch.setattr('moss_perception.data.scenes.read_shards', lambda _: [])
    assert moss(['evaluate', '--scenes', 'x', '--model', str(tiny_checkpoint)]) == 1
    assert 'no scene has all its candidates in the image' in caplog.text
    assert caplog.text.count('\n') == 1


def test_training_seeds_are_refused_before_scenes_are_generated(monkeypatch, tmp_path, caplog):
    path = tmp_path / 'trained.safetensors'
    save_checkpoint(path, tiny_network(), {'seeds': [[0, 99]]})
    monkeypatch.setattr('moss_perception.simulation.generate.generate', None)
    assert moss(['evaluate', '--fresh', '8', '--seed', '98', '--model', str(path),
                 '--engine', 'torch']) == 1
    assert ('trained on scenes 0 to 99, and 2 of these scenes are among them, such as 98'
            in caplog.text)


def test_the_help_names_what_chooses_fresh_scenes(capsys):
    with pytest.raises(SystemExit):
        moss(['evaluate', '--help'])
    shown = capsys.readouterr().out
    assert all(f'\n  --{name} ' in shown for name in ('seed', 'cell', 'split', 'motion'))
