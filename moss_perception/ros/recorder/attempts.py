"""Begin, end and discard attempts: what attempt_recorder does, without its topics."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from statistics import median

from moss_perception.core.errors import BagError, MossError
from moss_perception.data.bags.attempts import AttemptFolder, AttemptWriter, counts_of
from moss_perception.data.bags.run_up import Received, RunUp
from moss_perception.data.outcomes import Outcome
from moss_perception.ros.recorder.settings import RecorderSettings, TOPIC
from moss_perception.ros.recorder.stream import Stream

# Of transforms, which hold together, so many messages of a topic are kept.
_LATCHED = 1000


class RefusedError(MossError):
    """A command that does not fit the state of the recorder."""


@dataclass
class OpenAttempt:
    """
    An attempt that is being recorded.

    :ivar start_ns: header stamp of the newest image at the start, nanoseconds.
    :ivar received_ns: time of the start, of the clock of reception, nanoseconds.
    :ivar images: number of images since the start.
    """

    number: int
    writer: AttemptWriter
    start_ns: int
    received_ns: int
    images: int = 0


class Attempts:
    """
    The attempts of a folder, one after another.

    :param folder: an open folder.
    :param stream: follows the topics.
    :param settings: returns the current settings.
    :param now_ns: returns the time of the clock of reception, nanoseconds.
    :param write_outcome: writes an outcome, with a message in words, into an attempt's file.
    :ivar current: the attempt that is being recorded; ``None`` between attempts.
    :ivar lost: why the newest attempt could not be written; empty if it could.
    """

    def __init__(self, folder: AttemptFolder, stream: Stream,
                 settings: Callable[[], RecorderSettings], now_ns: Callable[[], int],
                 write_outcome: Callable[[AttemptWriter, str, Outcome], None]):
        self.folder, self.stream = folder, stream
        self._settings, self._now_ns = settings, now_ns
        self._write_outcome = write_outcome
        of = settings()
        kept_s = of.run_up + (of.longest_attempt if of.outcomes == TOPIC else 0.0)
        self._run_up = RunUp(kept_s, of.run_up_mib * 2**20)
        self._latched: dict[str, list[Received]] = {}
        self.current: OpenAttempt | None = None
        self.lost = ''

    @property
    def cut_short(self) -> bool:
        """Whether the memory for the messages before the start is too small."""
        return self._run_up.cut_short

    def take(self, one: Received, latched: bool = False, alone: bool = False) -> None:
        """
        Take a message.

        :param latched: whether it holds until another comes, such as a calibration: an attempt
            has it even if it came long before.
        :param alone: whether it replaces those that came before.
        """
        if latched:
            known = self._latched.setdefault(one.topic, [])
            known[:] = [] if alone else [x for x in known if x.raw != one.raw]
            known.append(one)
            # A publisher of transforms may repeat them with new stamps for days.
            del known[:-_LATCHED]
        self._run_up.add(one)
        if self.current is not None:
            self.current.images += one.image_ns > 0
            self._write(self.current, [one])

    def start(self) -> str:
        """
        Begin an attempt.

        :returns: what was done, in words.
        :raises RefusedError: if one is being recorded, or there are no images.
        :raises BagError: if its file can't be written.
        """
        if self.current is not None:
            raise RefusedError(f'{self._since()}: expected succeed, fail or discard')
        if not self.stream.image_ns or not self._run_up.images:
            raise RefusedError('no image has come for the time of run_up: expected images to '
                               'record')
        now_ns = self._now_ns()
        begun = self._begin(self._run_up.since_reception(
            now_ns - round(1e9 * self._settings().run_up)), self.stream.image_ns)
        return f'attempt {begun.number} is being recorded'

    def end(self, success: bool) -> str:
        """
        End the attempt, and keep it.

        :returns: what was recorded, and how many attempts there are, in words.
        :raises RefusedError: if none is being recorded.
        :raises BagError: if it can't be written; the attempts before stay.
        """
        current, of = self._required(), self._settings()
        found = self.stream.decision(current.received_ns)
        warnings, decision_ns, start_ns, candidate = [], current.start_ns, current.start_ns, None
        end_ns = max(self.stream.image_ns, current.start_ns)
        if found is None:
            warnings.append('no executed grasp came, so the decision is the start')
        elif not start_ns - of.run_up * 1e9 <= found.stamp_ns <= end_ns:
            off_s = (found.stamp_ns - start_ns) / 1e9
            warnings.append(f'the executed grasp is stamped {off_s:.1f} s from the start, so the '
                            'decision is the start: expected the stamp of an image')
        else:
            decision_ns, candidate = found.stamp_ns, found.candidate
            start_ns = min(start_ns, decision_ns)
        if not current.images:
            warnings.append('no image came since the start')
        outcome = Outcome(
            current.number, start_ns, decision_ns, end_ns, success, of.domain, of.motion,
            of.object, candidate=candidate,
            lead_time_s=self.stream.lead_time_s(decision_ns, end_ns))
        if self.stream.measures and outcome.lead_time_s is None:
            warnings.append(self._why_not_measured())
        return self._finish(current, 'succeeded' if success else 'failed', outcome, warnings)

    def report(self, outcome: Outcome, message: str) -> str:
        """
        Record an attempt whose outcome the robot has reported, from the messages in memory.

        :param message: the outcome in words.
        :returns: what was recorded, in words.
        :raises RefusedError: if the images before its decision are not in memory.
        :raises BagError: if it can't be written; the attempts before stay.
        """
        warnings: list[str] = []
        if self.current is None:
            kept = self._run_up.since_image(
                max(1, outcome.start_ns - round(1e9 * self._settings().run_up)))
            first_ns = next((x.image_ns for x in kept if x.image_ns), None)
            if first_ns is None or first_ns > outcome.decision_ns:
                raise RefusedError(
                    f'attempt {outcome.attempt} of the robot is not recorded: no image from '
                    'before its decision is in memory; expected stamps of the images, a '
                    'longest_attempt that covers it, and enough run_up_mib')
            self._begin(kept, outcome.start_ns)
        current = self._required()
        if outcome.lead_time_s is None and outcome.executed:
            outcome = replace(outcome, lead_time_s=self.stream.lead_time_s(
                outcome.decision_ns, outcome.end_ns))
        of = self._settings()
        outcome = replace(
            outcome, attempt=current.number, domain=outcome.domain or of.domain,
            motion=outcome.motion or of.motion, object=outcome.object or of.object)
        return self._finish(current, message, outcome, warnings)

    def discard(self) -> str:
        """
        Forget the attempt.

        :raises RefusedError: if none is being recorded.
        """
        current, self.current = self._required(), None
        current.writer.discard()
        return f'attempt {current.number} is discarded; {self.summary()}'

    def summary(self) -> str:
        """Say how many attempts of each outcome there are."""
        counts = counts_of(self.folder.outcomes)
        idle = f', {counts["not executed"]} not executed' if counts['not executed'] else ''
        return (f'{counts["succeeded"]} succeeded, {counts["failed"]} failed{idle} in '
                f'{self.folder.path}')

    def _begin(self, kept: list[Received], start_ns: int) -> OpenAttempt:
        number = self.folder.next_number
        writer = self.folder.begin()
        self.lost = ''
        begun = self.current = OpenAttempt(number, writer, start_ns, self._now_ns())
        of_kept = set(map(id, kept))
        first_ns = kept[0].received_ns if kept else begun.received_ns
        latched = [replace(x, received_ns=first_ns) for known in self._latched.values()
                   for x in known if id(x) not in of_kept]
        self._write(begun, [*latched, *kept])
        if self.lost:
            raise BagError(self.lost)
        return begun

    def _write(self, current: OpenAttempt, messages: Iterable[Received]) -> None:
        """Write messages; if that fails, the attempt is lost."""
        try:
            for one in messages:
                current.writer.serialised(one.topic, one.kind, one.received_ns, one.raw)
        except BagError as error:
            self._lose(error)

    def _lose(self, error: BagError) -> None:
        current, self.current = self.current, None
        assert current is not None  # it was being written
        current.writer.discard()
        self.lost = f'attempt {current.number} is lost: {error}; {self.summary()}'

    def _finish(self, current: OpenAttempt, message: str, outcome: Outcome,
                warnings: list[str]) -> str:
        try:
            self._write_outcome(current.writer, message, outcome)
            current.writer.label(current.number, self._settings().labels())
            current.writer.finish()
        except BagError as error:
            self._lose(error)
            raise BagError(self.lost) from error
        self.current = None
        # What one attempt has, the next must not have again: all files are one recording.
        self._run_up.forget()
        self.folder.outcomes.append(outcome)
        seconds = (outcome.end_ns - outcome.start_ns) / 1e9
        done = f'attempt {outcome.attempt}: {message}, {seconds:.1f} s{self._lead_time(outcome)}'
        return '; '.join([done, *warnings, self.summary()])

    def _lead_time(self, outcome: Outcome) -> str:
        """Say what was measured, and what to do with it."""
        if outcome.lead_time_s is None:
            return ''
        measured = [x.lead_time_s for x in self.folder.outcomes if x.lead_time_s is not None]
        return (f', lead time {outcome.lead_time_s:.3f} s (median of {len(measured)}: '
                f'{median(measured):.3f} s, the lead_time to set of grasp_predictor)')

    def _why_not_measured(self) -> str:
        lag_s = self.stream.clock_lag_ns() / 1e9
        if lag_s:
            return (f'the lead time is not measured: the stamps of the images are {abs(lag_s):.1f}'
                    f" s {'behind' if lag_s > 0 else 'ahead of'} this node's clock, expected the "
                    'same clock')
        return 'the lead time is not measured: the gripper did not close after the decision'

    def _required(self) -> OpenAttempt:
        if self.current is None:
            raise RefusedError(self.lost or 'no attempt is being recorded: expected start first')
        return self.current

    def _since(self) -> str:
        current = self._required()
        seconds = (self._now_ns() - current.received_ns) / 1e9
        return f'attempt {current.number} has been recorded for {seconds:.1f} s'
