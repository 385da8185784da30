"""The parameters of sim_cell: what they mean, and their ranges."""

from dataclasses import dataclass

from moss_perception.ros.common.parameters import setting


@dataclass(frozen=True)
class CellSettings:
    """What sim_cell was asked to do; times in seconds."""

    cell: str = setting('full', 'What scenes are drawn from: belt, full.')
    domain: str = setting('sim', 'How scenes look: sim, shifted, or one factor of the shift.')
    motion: str = setting('', 'The only kind of motion, such as constant; empty for a mixture.')
    seed: int = setting(0, 'Of the first scene; the next ones follow.', low=0, high=2**31 - 1)
    attempts: int = setting(
        0, 'How many grasps are attempted; 0 for no end.', low=0, high=2**31 - 1)
    rate: float = setting(30.0, 'Images a second of simulated time.', low=1.0, high=100.0)
    real_time: bool = setting(True, 'Keep to the wall clock; else go as fast as it can.')
    timeout: float = setting(
        4.0, 'How long a scene waits for a selected grasp, simulated.', low=0.1, high=60.0)
    pause: float = setting(
        1.2, 'From the end of an attempt to the next scene, simulated.', low=0.0, high=60.0)
    compressed: bool = setting(True, 'Publish JPEG images on image/compressed; else on image.')
    frame_id: str = setting('camera_optical_frame', "Name of the camera's optical frame.")
    publish_clock: bool = setting(False, 'Publish the simulated time on /clock.')
    start_delay: float = setting(
        10.0, 'How long to wait at the start for a subscriber of the images.',
        low=0.0, high=3600.0)
