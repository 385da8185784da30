"""Follows a run over topics, so that pictures of its attempts are there when it is reported."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from moss_perception.evaluation.live import Heard, match
from moss_perception.evaluation.matching import Attempt, LOOK_BACK_NS
from moss_perception.evaluation.pictures import Pictures
from moss_perception.evaluation.records import AttemptRecord


class Film:
    """
    Hands frames, their fates and the attempts to :class:`Pictures` as they become known.

    :param pictures: those that it fills; of the usual sizes without.
    """

    def __init__(self, pictures: Pictures | None = None):
        self._pictures = pictures or Pictures()
        self._fates = 0
        self._open: list[Attempt] = []

    @property
    def pictures(self) -> Mapping[int, bytes]:
        """Return the pictures of the attempts that are shown: JPEG files, by header stamp."""
        return self._pictures.kept

    def see(self, stamp_ns: int, message: Any) -> None:
        """Take a frame; see :meth:`Pictures.see`."""
        self._pictures.see(stamp_ns, message)

    def follow(self, heard: Heard, attempts: Sequence[Attempt] = (),
               unexecuted: Collection[int] = (), over: bool = False) -> None:
        """
        Take what has become known since the last call.

        :param heard: of the predictor; its lists only grow.
        :param attempts: those that were told of since the last call.
        :param unexecuted: numbers of the attempts in which no grasp was executed.
        :param over: whether nothing else will be heard.
        """
        for stamp_ns, kind in heard.fates[self._fates:]:
            self._pictures.decide(stamp_ns, kind)
        self._fates = len(heard.fates)
        self._open += [x for x in attempts if x.outcome.attempt not in unexecuted]
        newest_ns = heard.scores[-1].stamp_ns if heard.scores else 0
        # An outcome may be told of before the last scores of its attempt are.
        known = [x for x in self._open if over or newest_ns > x.outcome.end_ns]
        self._open = [x for x in self._open if x not in known]
        for attempt in known:
            for record in _records(heard, attempt):
                self._pictures.finish(record)


def _records(heard: Heard, attempt: Attempt) -> tuple[AttemptRecord, ...]:
    """Match one attempt with the newest scores; none if there are none of it."""
    # A frame's two scores come on two topics: of the newest frame one may be missing.
    end = begin = min(len(heard.scores), len(heard.defaults))
    since_ns = attempt.outcome.start_ns - LOOK_BACK_NS
    while begin and heard.scores[begin - 1].stamp_ns >= since_ns:
        begin -= 1
    part = replace(heard, scores=heard.scores[begin:end], defaults=heard.defaults[begin:end],
                   fates=())
    return match(part, [attempt]).records()
