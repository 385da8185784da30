"""The parameters of sim_cell."""

from dataclasses import dataclass

from moss_perception.ros.common.parameters import check_subscribers, setting


@dataclass(frozen=True)
class CellSettings:
    """
    All parameters of sim_cell; durations in seconds.

    :raises ConfigError: if ``wait_for_nodes`` has a bad entry.
    """

    cell: str = setting('full', 'Kind of cell that scenes are drawn from: belt, full.')
    domain: str = setting('sim', 'Look of the scenes: sim, shifted, or one factor of the shift.')
    motion: str = setting('', 'The only kind of motion, such as constant; empty: all kinds.')
    seed: int = setting(
        0, 'Seed of the first scene; each further scene adds one.', low=0, high=2**31 - 1)
    attempts: int = setting(
        0, 'Number of grasp attempts before the node ends; 0: no limit.', low=0, high=2**31 - 1)
    rate: float = setting(30.0, 'Images per second of simulated time.', low=1.0, high=100.0)
    real_time: bool = setting(True, 'Follow the wall clock; false: run as fast as possible.')
    timeout: float = setting(
        4.0, 'How long a scene waits for a selected grasp, in simulated seconds.',
        low=0.1, high=60.0)
    pause: float = setting(
        1.2, 'Pause between an attempt and the next scene, in simulated seconds.',
        low=0.0, high=60.0)
    compressed: bool = setting(
        True, 'Publish JPEG images on image/compressed; false: raw images on image.')
    frame_id: str = setting('camera_optical_frame', "Name of the camera's optical frame.")
    publish_clock: bool = setting(False, 'Publish the simulated time on /clock.')
    start_delay: float = setting(
        10.0, 'Longest wait for subscribers at the start, in seconds.', low=0.0, high=3600.0)
    wait_for_nodes: tuple[str, ...] = setting(
        (), 'Nodes that must have subscribed before the start, as NODE=TOPIC, absolute names; of '
        'a node that subscribes to several topics, the last one. Empty: wait for any subscriber '
        'of the images, and start without one after start_delay.')

    def __post_init__(self):
        """Refuse what names no subscriber."""
        check_subscribers(self.wait_for_nodes)
