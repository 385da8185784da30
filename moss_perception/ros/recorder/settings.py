"""The parameters of attempt_recorder."""

from dataclasses import dataclass

from moss_perception.core.errors import ConfigError
from moss_perception.ros.common.parameters import one_of, setting


@dataclass(frozen=True)
class RecorderSettings:
    """
    All parameters of attempt_recorder; durations in seconds.

    :raises ConfigError: if ``out`` is empty, or there is nothing to record.
    """

    out: str = setting('', 'Folder of the recording (rosbag2, MCAP) to write.')
    overwrite: bool = setting(False, 'Replace an existing recording.')
    outputs: bool = setting(True, 'Record the outputs of grasp_predictor: scores, the status of '
                                  'each image, diagnostics.')
    inputs: bool = setting(True, 'Record camera_info, grasp_candidates, selected_grasp and '
                                 'grasp_outcome.')
    images: bool = setting(True, 'Record the images that grasp_predictor subscribes to.')
    topics: tuple[str, ...] = setting((), 'Further topics to record, absolute names.')
    qos_reliability: str = setting(
        'match', 'Reliability of subscriptions to inputs; match: as the publishers offer.',
        allowed=one_of('match', 'reliable', 'best_effort'))
    attempts: int = setting(
        0, 'Number of outcomes to record; 0: record until the camera has stopped.',
        low=0, high=2**31 - 1)
    start_delay: float = setting(
        120.0, 'Longest wait for the predictor and a camera, in seconds.', low=1.0, high=3600.0)
    stall: float = setting(
        60.0, 'Longest time without a processed image while a camera is present, in seconds.',
        low=1.0, high=86400.0)
    pace: str = setting('live', 'Pace of the run, stored in the recording: lock step, 1x, live.')
    closed_loop: bool = setting(
        False, 'Whether the robot executes the grasps that these scores select; stored in the '
        'recording.')
    simulated: bool = setting(False, 'Whether stamps are of simulated time; stored in the '
                                     'recording.')
    played: str = setting('', 'Recording that is played and has the inputs; its path is stored in '
                              'this recording.')
    timing_log: str = setting('', "Path of the player's timing_log, for latencies; stored in the "
                                  "recording.")

    def __post_init__(self):
        """Reject a recording without a folder or a topic."""
        if not self.out:
            raise ConfigError('parameter out is empty: expected the folder of the recording')
        if not (self.outputs or self.inputs or self.images or self.topics):
            raise ConfigError('parameters outputs, inputs, images and topics name nothing to '
                              'record: expected at least one topic')
