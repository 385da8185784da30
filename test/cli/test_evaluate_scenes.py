"""The command `evaluate` on scenes: what it refuses."""

from moss_perception.cli.main import main as moss


def test_scenes_of_which_none_is_in_view_are_one_line(monkeypatch, tiny_checkpoint, caplog):
    monkeypatch.setattr('moss_perception.data.scenes.read_shards', lambda _: [])
    assert moss(['evaluate', '--scenes', 'x', '--model', str(tiny_checkpoint)]) == 1
    assert 'no scene has all its candidates in the image' in caplog.text
    assert caplog.text.count('\n') == 1
