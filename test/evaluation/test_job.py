"""What is known of a recording that is played, before and after."""

from dataclasses import replace
from types import SimpleNamespace

from moss_perception.core.errors import BagError
from moss_perception.evaluation.job import Recorded
from moss_perception.evaluation.live import Heard, record_of
from moss_perception.evaluation.records import UnmatchedOutcome
from moss_perception.evaluation.replay import replay
from moss_perception.runtime.predictor import Predictor
import pytest

COUNT = 60


@pytest.fixture
def settings(factory, make_bag):
    """Return the settings for a recording of one attempt, told of at the start, and 60 images."""
    start_ns = factory.START_NS
    told = factory.outcome(
        start_ns, attempt='1', start='1700000000.0', decision='1700000000.1', end='1700000009.0',
        success='true', domain='real')
    bag = make_bag([told, *(factory.image(start_ns + n * 1000, side=160) for n in range(COUNT))])
    return SimpleNamespace(bag=str(bag), outcomes='', domain='', pace='lock step', timing_log='',
                           camera_info_topic='', candidates_topic='/grasp_candidates',
                           file=next(bag.glob('*.mcap')))


def heard(count):
    return Heard([], [], [(n, 'stored') for n in range(count)], {'topic': '/image'})


def test_of_a_whole_recording_what_did_not_arrive_is_not_called_lost(settings):
    played = Recorded(settings).played(heard(50), settings)
    assert (played.frames, played.lost_share, played.damage) == (COUNT, 0.0, '')


def test_damage_within_a_file_counts_as_lost_and_not_as_frames_that_did_not_arrive(settings):
    data = settings.file.read_bytes()
    at = round(0.6 * len(data))
    settings.file.write_bytes(data[:at] + b'\xff' * 200_000 + data[at + 200_000:])
    recorded = Recorded(settings)
    played = recorded.played(heard(10), settings)
    assert 20 < played.frames < COUNT
    # One message more than the images is there: the outcome.
    assert played.lost_share == pytest.approx(1 - (played.frames + 1) / (COUNT + 1))
    assert f'of {COUNT + 1} messages {played.frames + 1} are there' in played.damage
    assert [x.outcome.attempt for x in recorded.attempts] == [1]


def test_where_nothing_is_left_it_is_an_error(settings):
    settings.file.write_bytes(settings.file.read_bytes()[:200])
    with pytest.raises(BagError, match='nothing of it can be read'):
        Recorded(settings)


@pytest.mark.parametrize('name', ['candidates_topic', 'camera_info_topic'])
def test_a_topic_that_was_named_has_to_be_there(settings, name):
    setattr(settings, name, '/typo')
    with pytest.raises(BagError, match='on /typo; expected'):
        Recorded(settings)


def test_what_is_strange_is_told_over_topics_as_offline(
        factory, make_bag, settings, tiny_checkpoint):
    start_ns, late_ns = factory.START_NS, 4 * 10**9
    entries = [factory.candidates(start_ns, '/grasp_candidates', 'base')]
    entries += [factory.camera_info(start_ns, f'/{x}/camera_info') for x in ('far', 'near')]
    stamps = [start_ns + n * 10**8 for n in range(6)]
    entries += [factory.image(stamp_ns, side=40, frame_id='left' if n < 4 else 'right')
                for n, stamp_ns in enumerate(stamps)]
    entries += [factory.outcome(start_ns, attempt=str(n), start=f'{begin:.1f}',
                                decision=f'{begin + 0.2:.1f}', end=f'{begin + 0.4:.1f}',
                                success='true', domain='real')
                for n, begin in ((1, 1.7e9), (2, 1.7e9 + 0.3), (3, 1.7e9 + 60))]
    bag = make_bag([replace(x, stamp_ns=x.stamp_ns + late_ns) for x in entries], 'strange')
    settings.bag = str(bag)
    recorded = Recorded(settings)
    told = Heard([], [], [(x, 'stored') for x in stamps], {'topic': '/image'})
    found = record_of(told, recorded.attempts, recorded.played(told, settings), 1.0)
    offline = replay(bag, Predictor.load(str(tiny_checkpoint), threads=1))
    assert found.notes == offline.notes and found.unmatched == offline.unmatched
    for line in ('calibrations are on /far/camera_info, /near/camera_info, none of them beside',
                 'attempts overlap in time, and each is scored by itself: 1 and 2',
                 "stamps of the images are 4.000 s behind the recorder's clock",
                 "4 images are in frame 'left' and the candidates in 'base'",
                 "several frames, and each change empties the window: 'left' (4), 'right' (2)"):
        assert any(line in note for note in found.notes), found.notes
    assert found.unmatched == (UnmatchedOutcome(3, 'it begins 59.500 s after the last image'),)
