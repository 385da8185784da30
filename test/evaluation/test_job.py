"""What is known of a recording that is played, before and after."""

from types import SimpleNamespace

from moss_perception.errors import BagError
from moss_perception.evaluation.job import Recorded
from moss_perception.evaluation.live import Heard
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
