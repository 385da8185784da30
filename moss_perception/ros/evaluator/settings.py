"""The parameters of bag_evaluator: what they mean, and their ranges."""

from dataclasses import dataclass

from moss_perception.core.errors import ConfigError
from moss_perception.ros.common.parameters import setting


@dataclass(frozen=True)
class EvaluatorSettings:
    """What bag_evaluator was asked to do; times in seconds."""

    bag: str = setting(
        '', 'The recording that is played; empty: outcomes come on grasp_outcome, live.')
    outcomes: str = setting(
        '', 'CSV file of outcomes (start, end, success); empty: those of the recording.')
    camera_info_topic: str = setting(
        '', 'Of the recording, to verify; empty: beside the images, or the only one.')
    candidates_topic: str = setting('/grasp_candidates', 'Likewise.')
    domain: str = setting('', 'What it is called in tables; empty: as its outcomes say.')
    model: str = setting('', 'The checkpoint that the predictor runs; empty: the shipped one.')
    pace: str = setting('live', 'How it is played, in words: lock step, 1x, live.')
    closed_loop: bool = setting(
        False, 'Whether the grasps are selected by these scores, and executed.')
    attempts: int = setting(
        0, 'Without a bag, how many outcomes are expected; 0: until the camera has gone.',
        low=0, high=2**31 - 1)
    timing_log: str = setting('', "The player's CSV file of the same name, for the latency.")
    record: str = setting('', 'JSON file to keep what was found in; empty: none.')
    others: tuple[str, ...] = setting(
        (), 'Such files, absolute, of other runs with the same checkpoint, to be reported first.')
    report: str = setting('', 'Folder for the report; empty: none.')
    reference: str = setting('sim', 'The domain with which the others are compared.')
    require: str = setting(
        '', "What must hold, such as 'auroc>=0.8; brier@shifted<=0.25': else the status is 3.")
    threshold: float = setting(
        0.5, 'Scores from here on let a grasp pass, in the report.', low=0.0, high=1.0)
    success_definition: str = setting(
        '', 'What counts as a success, in a sentence, for the report; empty: the usual one.')
    start_delay: float = setting(
        120.0, 'How long to wait for the predictor, and for a camera.', low=1.0, high=3600.0)
    stall: float = setting(
        60.0, 'Without a frame for so long, while there is a camera, it gives up.',
        low=1.0, high=86400.0)
    strips: bool = setting(
        False, 'Without a bag: listen to the images and keep small ones, for the film strips.')
    verify: bool = setting(
        False, 'Score exactly the frames that arrived once more, without topics, and compare.')

    def __post_init__(self):
        if not self.record and not self.report:
            raise ConfigError('parameters record and report are empty: expected one of them, or '
                              'nothing comes of the evaluation')
        for name in ('outcomes', 'verify'):
            if getattr(self, name) and not self.bag:
                raise ConfigError(f'parameter {name} goes with bag, which is empty')
        if self.require and not self.report:
            raise ConfigError('parameter require goes with report, which is empty')
