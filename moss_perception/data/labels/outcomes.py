"""The outcomes that commands use: those of a recording, or of a table whose times fit it."""

from dataclasses import replace
from pathlib import Path

from moss_perception.data.bags.reader import Recording
from moss_perception.data.labels.attempts import Search
from moss_perception.data.labels.checks import refuse_another_clock
from moss_perception.data.labels.lead_times import with_lead_times
from moss_perception.data.labels.matching import read_labels
from moss_perception.data.outcomes import Outcome


def outcomes_of(recording: Recording, table: Path | str | None, *, image_topic: str = '',
                outcome_topic: str | None = None, executed_topic: str | None = None,
                candidates_topic: str | None = None) -> list[Outcome]:
    """
    Return the recorded outcomes, or those of a table if there is one.

    :param table: file of the outcomes; ``None`` for the recorded ones.
    :param image_topic: topic of the images; empty if the recording has none.
    :returns: those of a table have lead times where the gripper tells them. A row of no attempt
        of the recording says so (``apart``).
    :raises BagError: if the outcomes can't be read, or the times of the table are clearly of
        another clock.
    """
    if table is None:
        return recording.outcomes(outcome_topic)
    search = Search(executed_topic=executed_topic, candidates_topic=candidates_topic,
                    outcome_topic=outcome_topic)
    labels = read_labels(table, recording if image_topic else None, image_topic or None, search)
    refuse_another_clock(labels, str(recording.path))
    outcomes = [replace(x.outcome, apart=labels.apart(x)) for x in labels.rows]
    return outcomes if labels.clock is None else with_lead_times(
        outcomes, recording, labels.clock, search)[0]
