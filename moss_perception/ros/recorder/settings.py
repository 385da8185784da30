"""The parameters of attempt_recorder."""

from dataclasses import dataclass
from datetime import date

from moss_perception.core.errors import ConfigError
from moss_perception.ros.common.parameters import Change, one_of, setting

OPERATOR, TOPIC = 'operator', 'topic'


@dataclass(frozen=True)
class RecorderSettings:
    """
    All parameters of attempt_recorder; durations in seconds.

    :raises ConfigError: if ``out`` is empty.
    """

    out: str = setting('', 'Folder of the attempts (rosbag2, MCAP); a folder with attempts is '
                           'continued.')
    outcomes: str = setting(
        OPERATOR, "operator: an attempt begins and ends by services, commands or keys; topic: by "
                  "the robot's own outcomes on grasp_outcome.", allowed=one_of(OPERATOR, TOPIC))
    attempts: int = setting(
        0, 'Number of attempts to record before the node ends; 0: no limit.',
        low=0, high=2**31 - 1)
    image_transport: str = setting(
        'raw', 'raw: record the image topic; compressed: record the image topic plus /compressed.',
        allowed=one_of('raw', 'compressed'))
    qos_reliability: str = setting(
        'match', 'Reliability of the subscriptions; match: as the publishers offer.',
        allowed=one_of('match', 'reliable', 'best_effort'))
    outputs: bool = setting(True, 'Record the outputs of grasp_predictor: scores, the status of '
                                  'each image, diagnostics.')
    topics: tuple[str, ...] = setting(
        ('/tf', '/tf_static'), 'Further topics to record, absolute names.')
    run_up: float = setting(
        3.0, 'Time before the start of an attempt that is recorded too, in seconds; at least the '
             'window of the model.', low=0.0, high=60.0)
    run_up_mib: int = setting(
        512, 'Memory for the messages before the start, in MiB.', low=1, high=65536)
    longest_attempt: float = setting(
        30.0, "With outcomes: topic, the time from an attempt's start to its outcome that is kept "
              'in memory, in seconds.', low=1.0, high=600.0)
    silence: float = setting(
        2.0, 'Time after which a topic that should have messages is reported, in seconds.',
        low=0.1, high=3600.0)
    gripper_topic: str = setting(
        '', 'Topic of the gripper, which measures the lead time: JointState, Bool (true closes), '
            'Float32 or Float64; empty: measure none, or by ~/closed.')
    gripper_joint: str = setting('', 'Joint of the fingers in a JointState; empty: the only one.')
    gripper_closed: float = setting(
        0.0, 'Value between open and closed fingers, which close when it is passed; not for Bool. '
             '0.0: not set.', low=-1000.0, high=1000.0)
    gripper_delay: float = setting(
        0.0, "Time from the gripper's message until the fingers close, in seconds; for a topic of "
             'commands.', low=0.0, high=60.0)
    domain: str = setting('real', 'Domain of the attempts, in the outcomes.',
                          change=Change.ANY_TIME)
    motion: str = setting('', 'How the object moves, in the outcomes.', change=Change.ANY_TIME)
    object: str = setting('', 'Group label: the object.', change=Change.ANY_TIME)
    day: str = setting('', "Group label: the day; empty: today's date.", change=Change.ANY_TIME)
    operator: str = setting('', 'Group label: who operates the robot.', change=Change.ANY_TIME)

    def __post_init__(self):
        """Reject a recording without a folder."""
        if not self.out:
            raise ConfigError('parameter out is empty: expected the folder of the attempts')

    def labels(self) -> dict[str, str]:
        """Return the group labels of an attempt."""
        return {'day': self.day or date.today().isoformat(), 'object': self.object,
                'operator': self.operator}
