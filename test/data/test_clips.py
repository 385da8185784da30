"""Recordings of clips: one attempt a clip, on one clock, in the contract's topics."""

import io
import logging
import tempfile
import tracemalloc

from moss_perception.core.errors import BagError, ConfigError
from moss_perception.core.frames import Camera, Frame
from moss_perception.data.bags.reader import Recording
from moss_perception.data.clips.frames import Disturbance
from moss_perception.data.clips.importer import ClipSettings, MAX_GAP_S, write_bag
from moss_perception.data.clips.inputs import Clip, ClipRow
from moss_perception.ros.predictor.parameters import PredictorParameters
from moss_perception.runtime.predictor import Predictor
import numpy as np
import pytest

START_NS = 1_700_000_000 * 10**9
STEP_NS = 100_000_000


@pytest.fixture
def folder(tmp_path):
    return tmp_path / 'clips'


@pytest.fixture
def clip(folder, clip_factory):
    """Return a function that writes a clip of 10 Hz, and says what its row says."""
    def make(name='a.avi', images=8, success=True, labelled=True, **values):
        path = clip_factory.write_clip(folder / name, images)
        return Clip(name, path, ClipRow(name, success, **values) if labelled else None)
    return make


@pytest.fixture
def record(tmp_path):
    """Return a function that makes a recording, and gives its path and what was written."""
    def make(clips, name='bag', **settings):
        path = tmp_path / name
        return path, write_bag(path, clips, ClipSettings(**settings))
    return make


def stamps(path, topic='/image/compressed'):
    with Recording(path) as recording:
        return [stamp for _, _, stamp, _ in recording.messages([topic])]


def outcomes(path):
    with Recording(path) as recording:
        return recording.outcomes()


def topics(path):
    with Recording(path) as recording:
        return set(recording.topics)


def test_each_clip_is_an_attempt_of_its_own_after_a_pause(clip, record):
    path, done = record([clip('a.avi', object='cup'), clip('b.avi', 5, False, domain='lab')])
    first, second = outcomes(path)
    assert (first.attempt, first.success, first.domain, first.object) == (1, True, 'real', 'cup')
    assert (second.attempt, second.success, second.domain, second.object) == (2, False, 'lab', '')
    assert (first.start_ns, first.end_ns) == (START_NS, START_NS + 7 * STEP_NS)
    assert second.start_ns == first.end_ns + 1_200_000_000
    assert first.decision_ns == first.end_ns
    assert stamps(path) == [
        *(first.start_ns + i * STEP_NS for i in range(8)),
        *(second.start_ns + i * STEP_NS for i in range(5))]
    assert (done.clips, done.images, done.attempts, done.successes) == (2, 13, 2, 1)
    assert (done.guessed, done.domains) == (2, {'real': 1, 'lab': 1})


def test_a_recording_keeps_which_decisions_were_guessed(clip, record):
    path, _ = record([clip('a.avi'), clip('b.avi', decision_ns=3 * STEP_NS)])
    assert [x.decision_guessed for x in outcomes(path)] == [True, False]
    with Recording(path) as recording:
        keys = [{pair.key for pair in recording.deserialize(raw, kind).status[0].values}
                for _, kind, _, raw in recording.messages(['/grasp_outcome'])]
    assert ['decision_guessed' in x for x in keys] == [True, False]


def test_the_rows_times_are_the_attempts(clip, record):
    path, done = record([clip(start_ns=STEP_NS, decision_ns=250_000_000, end_ns=4 * STEP_NS)])
    (only,) = outcomes(path)
    assert [x - START_NS for x in (only.start_ns, only.decision_ns, only.end_ns)] == [
        STEP_NS, 250_000_000, 4 * STEP_NS]
    assert done.guessed == 0
    with Recording(path) as recording:
        order = [topic for topic, _, _, _ in recording.messages()]
        times = [stamp for _, _, stamp, _ in recording.messages()]
    assert order.index('/grasp_outcome') == 5 and times == sorted(times)


def test_topics_are_only_those_that_are_known_of(clip, record):
    assert topics(record([clip()])[0]) == {'/image/compressed', '/grasp_outcome'}
    path, done = record([clip(labelled=False)], 'bare')
    assert topics(path) == {'/image/compressed'}
    assert (done.clips, done.attempts) == (1, 0)


def test_a_calibration_is_scaled_to_the_images(clip, record):
    calibration = Camera(128, 96, np.array([[100.0, 0, 63.5], [0, 100, 47.5], [0, 0, 1]]),
                              np.array([0.1, 0, 0, 0]), 'equidistant')
    path, _ = record([clip(images=3)], calibration=calibration)
    with Recording(path) as recording:
        found = list(recording.messages(['/camera_info']))
        info = recording.deserialize(found[0][3], found[0][1])
    assert [x[2] for x in found] == stamps(path)
    assert (info.width, info.height, info.distortion_model) == (64, 48, 'equidistant')
    assert np.reshape(info.k, (3, 3)).tolist() == [[50, 0, 31.5], [0, 50, 23.5], [0, 0, 1]]
    assert list(info.d) == [0.1, 0, 0, 0]


def test_a_clip_that_can_not_be_used_is_told_counted_and_left_out(
        clip, record, folder, clip_factory, caplog):
    good = [clip('a.avi'), clip('e.avi')]
    (folder / 'b.avi').write_bytes(b'no film')
    cut = clip('c.avi', 40)
    clip_factory.cut(cut.path, 0.5)
    bad = [Clip('b.avi', folder / 'b.avi', ClipRow('b.avi', True)), cut,
           clip('d.avi', decision_ns=3 * 10**9, end_ns=3 * 10**9)]
    with caplog.at_level(logging.WARNING):
        path, done = record([good[0], *bad, good[1]])
    assert done.left_out == ['b.avi', 'c.avi', 'd.avi']
    told = [x.message for x in caplog.records]
    assert len(told) == 3 and all('left out: ' in x for x in told)
    assert 'cut off' in told[1] and 'decision is at 3 s, expected at most 0.7 s' in told[2]
    # Of what was left out nothing is there: neither an image nor a time that it took.
    assert path.exists() and (done.clips, done.images) == (2, 16)
    assert stamps(path) == stamps(record(good, 'good')[0])


def test_the_end_may_be_the_clips_duration(clip, record):
    path, _ = record([clip(end_ns=8 * STEP_NS), clip('b.avi')])
    first, second = outcomes(path)
    assert first.end_ns - START_NS == 8 * STEP_NS
    assert second.start_ns - first.end_ns == 1_200_000_000


def test_without_one_usable_clip_nothing_is_written(record, folder, tmp_path):
    folder.mkdir()
    (folder / 'b.avi').write_bytes(b'no film')
    with pytest.raises(BagError, match='none of the 1 clips could be used'):
        record([Clip('b.avi', folder / 'b.avi', ClipRow('b.avi', True))])
    assert [x.name for x in tmp_path.iterdir()] == ['clips']


def test_jitter_and_drops_come_from_the_seed_and_are_in_the_label(clip, record):
    clips = [clip(images=40), clip('b.avi', 40, domain='lab')]
    settings = {'disturbance': Disturbance(0.02, 0.2, seed=4)}
    path, done = record(clips, **settings)
    assert [x.domain for x in outcomes(path)] == [
        'real.jitter_0.02.drops_0.2', 'lab.jitter_0.02.drops_0.2']
    assert done.dropped == 80 - done.images > 0
    assert stamps(path) == stamps(record(clips, 'again', **settings)[0])
    other = stamps(record(clips, 'other', disturbance=Disturbance(0.02, 0.2, seed=5))[0])
    assert stamps(path) != other
    assert (path / 'metadata.yaml').read_text().count('real.jitter_0.02.drops_0.2') == 1


def test_decisions_before_a_window_is_full_are_named(clip, record):
    _, done = record([clip(), clip('b.avi', decision_ns=4 * STEP_NS)], window_s=0.5)
    assert done.early == ['b.avi']


def test_the_window_begins_anew_with_each_clip(clip, record, tiny_checkpoint):
    path, _ = record([clip(images=18), clip('b.avi', 18)])
    predictor = Predictor.load(str(tiny_checkpoint), threads=1)
    with Recording(path) as recording:
        fates = [predictor.push(Frame(stamp, 'camera', recording.deserialize(raw, kind)))
                 for _, kind, stamp, raw in recording.messages(['/image/compressed'])]
    # A window is 16 samples of 10 Hz: the last three of each clip are scored.
    assert [x is not None for x in fates] == 2 * ([False] * 15 + [True] * 3)
    assert predictor.counters.resets == {'gap': 1}


def test_the_least_pause_is_the_predictors_gap():
    assert PredictorParameters().max_gap == MAX_GAP_S
    with pytest.raises(ConfigError, match='pause of 0.5 s: expected more than 0.5 s'):
        ClipSettings(pause_s=MAX_GAP_S)


@pytest.mark.parametrize(('settings', 'expected'), [
    ({'rate_hz': -1.0}, 'rate_hz of -1.0'), ({'clip_hz': float('nan')}, 'clip_hz of nan'),
    ({'side': 8}, 'side of 8 pixels')])
def test_settings_out_of_range_are_refused(settings, expected):
    with pytest.raises(ConfigError, match=expected):
        ClipSettings(**settings)


def test_a_disk_that_is_full_ends_the_recording_and_leaves_nothing(
        clip, record, tmp_path, monkeypatch):
    class Full(io.BytesIO):
        def write(self, _):
            raise OSError(28, 'No space left on device')

    clips = [clip()]
    monkeypatch.setattr(tempfile, 'TemporaryFile', lambda **_: Full())
    with pytest.raises(BagError, match='could not keep a clip in .*: No space left'):
        record(clips)
    assert [x.name for x in tmp_path.iterdir()] == ['clips']


def test_memory_does_not_grow_with_the_clips(folder, clip_factory, tmp_path):
    folder.mkdir()
    clips = []
    for name, images in (('short.avi', 20), ('long.avi', 160)):
        path = clip_factory.noisy_clip(folder / name, images, (320, 240))
        clips.append(Clip(name, path, ClipRow(name, True)))
    peaks, sizes = [], []
    for index, chosen in enumerate((clips[:1], clips[1:])):
        tracemalloc.start()
        write_bag(tmp_path / f'bag{index}', chosen, ClipSettings())
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        sizes.append((tmp_path / f'bag{index}' / f'bag{index}.mcap').stat().st_size)
    # A chunk of a mebibyte, copied a few times while it is written, and one image.
    assert sizes[1] > 8e6 > 1.3 * max(peaks)
    assert peaks[1] < 1.5 * peaks[0]
