"""What an observer of the predictor awaits."""

from moss_perception.ros.common import conversions
from moss_perception.ros.observer import Observer
from moss_perception.ros.predictor.topics import PROCESSED_QOS
import pytest
from sensor_msgs.msg import PointCloud2
from std_msgs.msg import Header


@pytest.fixture
def observed(ros_domain, peer, harness):
    """Return an observer, and functions that publish a status and scores of a stamp."""
    make = peer.node.create_publisher
    said = make(Header, '/watched/processed', PROCESSED_QOS)
    scored = make(PointCloud2, '/watched/grasp_scores', 10)
    with Observer(ros_domain, '/watched') as observer:
        harness.wait_for(lambda: observer.connected and all(
            x.get_subscription_count() for x in (said, scored)), 20, 'a match')
        yield (observer,
               lambda stamp_ns, status: said.publish(conversions.header(stamp_ns, status)),
               lambda stamp_ns: scored.publish(
                   PointCloud2(header=conversions.header(stamp_ns, 'camera'))))


def test_scores_are_awaited_until_they_come_before_or_after_the_word_of_them(observed, harness):
    observer, say, score = observed
    say(10, 'stored')
    say(20, 'scored')
    harness.wait_for(lambda: observer.awaited == {20}, 20, 'what is awaited')
    # Scores that can't be read have come, too; the log says what is wrong with them.
    score(30)
    score(20)
    harness.wait_for(lambda: not observer.awaited, 20, 'scores')
    say(30, 'scored')
    say(40, 'scored')
    harness.wait_for(lambda: observer.awaited == {40}, 20, 'what is awaited')
    assert [kind for _, kind in observer.statuses] == ['stored', 'scored', 'scored', 'scored']
