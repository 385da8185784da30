"""Pictures of a run's attempts, in whatever order a run over topics tells of them."""

from moss_perception.core.image_messages import RawImage
from moss_perception.data.outcomes import Outcome
from moss_perception.evaluation.film import Film
from moss_perception.evaluation.live import Heard
from moss_perception.evaluation.matching import Attempt
from moss_perception.ros.evaluator.observer import Scores
import numpy as np
import pytest

S = 10**9
FIELDS = [(name, np.float32) for name in ('x', 'y', 'z', 'score', 'uncertainty')]
HERE = (0.1, 0.2, 0.5)
FRAME = RawImage.from_rgb(np.zeros((8, 8, 3), np.uint8))


class Run:
    """A run in which each frame is scored at one candidate, and the default grasp's score."""

    def __init__(self):
        self.film = Film()
        self.heard = Heard([], [], [], {})

    def frame(self, second, score=0.5, default=0.5):
        stamp_ns = round(second * S)
        self.film.see(stamp_ns, FRAME)
        self.heard.scores.append(Scores(stamp_ns, 0, np.array([(*HERE, score, 0.1)], FIELDS)))
        if default is not None:
            self.heard.defaults.append(default)
        self.heard.fates.append((stamp_ns, 'scored'))

    def seconds(self):
        return sorted(x / S for x in self.film.pictures)


def attempt(number, start, decision, end, position=HERE):
    outcome = Outcome(number, start * S, decision * S, end * S, True, 'sim', '', '')
    return Attempt(outcome, None if position is None else np.array(position))


@pytest.fixture
def run():
    return Run()


def test_an_attempt_waits_for_the_scores_of_its_end(run):
    for second in (1, 2, 3):
        run.frame(second)
    run.film.follow(run.heard, [attempt(1, 1, 3, 4)])
    assert run.seconds() == []
    run.frame(4)
    run.film.follow(run.heard)
    assert run.seconds() == []
    run.frame(5)
    run.film.follow(run.heard)
    assert run.seconds() == [1, 2, 3, 4]


def test_when_nothing_else_comes_the_last_attempt_is_kept_too(run):
    for second in (1, 2, 3):
        run.frame(second)
    run.film.follow(run.heard, [attempt(1, 1, 3, 3)], over=True)
    assert run.seconds() == [1, 2, 3]


def test_attempts_without_a_grasp_or_a_score_are_not_shown(run):
    for second in (1, 2, 3, 4, 5):
        run.frame(second)
    run.film.follow(run.heard, [attempt(1, 1, 2, 2), attempt(2, 40, 41, 42)], {1}, over=True)
    assert run.seconds() == []


def test_a_default_score_that_is_still_on_its_way_leaves_the_others_in_place(run):
    for second, score in enumerate((0.1, 0.2, 0.3, 0.4), start=1):
        run.frame(second, default=score)
    run.frame(5, default=None)
    run.film.follow(run.heard, [attempt(1, 1, 4, 4, None)])
    assert run.seconds() == [1, 2, 3, 4]
