"""What the studies on clips and on questions are meant to show, named before they are run."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from moss_perception.core.tables import markdown

from study.texts import in_points
from study.video.models import BACKBONE, FINE_BACKBONE

GOAL_VARIANT = 'displacement_12'
"""The variant with MOSS that the goals are about, whichever turns out best."""


@dataclass(frozen=True)
class Goal:
    """
    Accuracy of :data:`GOAL_VARIANT` above another variant's, on the same questions.

    :ivar theirs: the other variant.
    :ivar points: least difference, points.
    """

    theirs: str
    points: float

    def row(self, what: str, pair: Mapping[str, Any] | None) -> list[str]:
        """
        Check the goal.

        :param what: is asked.
        :param pair: the paired comparison of the two; ``None`` if there is none.
        :returns: the goal, number of seeds, what was found, what was wanted, whether it is met,
            and whether all of the interval meets it.
        """
        head = f'{what}: {GOAL_VARIANT} above {self.theirs}'
        wanted = f'at least {self.points:g}'
        if pair is None:
            return [head, '', 'not run', wanted, '', '']
        met = [100 * pair['difference'] >= self.points,
               pair['low'] is not None and 100 * pair['low'] >= self.points]
        return [head, str(pair['seeds']), in_points(pair), wanted,
                *('yes' if one else 'no' for one in met)]


OVER_BACKBONE, NOT_BELOW_FLOW = Goal(BACKBONE, 5.0), Goal('flow', 0.0)
# Maps as fine as those of displacements: what is gained over these is not gained by resolution.
OVER_FINE_BACKBONE = Goal(FINE_BACKBONE, 5.0)


def goals_table(checked: Iterable[tuple[str, Goal, Mapping[str, Any] | None]]) -> str:
    """
    Write goals in Markdown.

    :param checked: see :meth:`Goal.row`.
    """
    return markdown(['goal', 'seeds', 'found, points', 'wanted', 'met', 'all of the interval'],
                    [goal.row(what, pair) for what, goal, pair in checked])
