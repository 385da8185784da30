"""What is asked, in which words, and how words become numbers."""

from dataclasses import dataclass
from itertools import product
import re

# Put into the phrasings of every kind.
_THINGS = ('the object', 'it', 'the thing')
UNKNOWN = 1
"""Number of every word that the training does not have; 0 follows the last word."""


@dataclass(frozen=True)
class Kind:
    """
    A kind of question.

    :ivar about: what it needs to know: ``velocity``, ``acceleration`` or ``recurrence``, which
        one, two or three orders of self-similarity describe; ``contact`` or ``time``.
    :ivar answers: from which it chooses.
    :ivar known: phrasings of training and test; ``{}`` is the object.
    :ivar held_out: phrasings of the test alone, of words that the training has.
    """

    about: str
    answers: tuple[str, ...]
    known: tuple[str, ...]
    held_out: tuple[str, ...]

    def phrasings(self, held_out: bool) -> list[str]:
        """Return all known or all held-out phrasings."""
        stems = self.held_out if held_out else self.known
        return sorted({stem.format(thing) for stem, thing in product(stems, _THINGS)})


YES_NO = ('yes', 'no')
COUNTS = ('never', 'once or twice', 'more often')
KINDS = {
    'direction': Kind(
        'velocity', ('left', 'right'),
        ('which way does {} move at the end', 'where does {} go at the end',
         'to which side does {} move at the end', 'in which direction is {} moving now'),
        ('which way is {} moving now', 'to which side does {} go at the end')),
    'moves': Kind(
        'velocity', YES_NO,
        ('does {} still move at the end', 'is {} moving now', 'is {} in motion at the end',
         'does {} go on at the end'),
        ('is {} still in motion now', 'does {} move now')),
    'faster': Kind(
        'velocity', ('first', 'second'),
        ('two things are shown which of them is faster', 'which of the two is faster',
         'is the first or the second of the two faster', 'which moves at a higher speed'),
        ('of the two things which is faster', 'which of them moves at a higher speed')),
    'speeds_up': Kind(
        'acceleration', YES_NO,
        ('does {} speed up before the end', 'is {} getting faster', 'does {} gain speed',
         'is the speed of {} rising at the end'),
        ('does {} get faster before the end', 'does {} gain speed at the end')),
    'slows_down': Kind(
        'acceleration', YES_NO,
        ('does {} slow down before the end', 'does {} get slower', 'does {} lose speed',
         'is the speed of {} falling at the end'),
        ('is {} getting slower before the end', 'does {} lose speed at the end')),
    'turns': Kind(
        'recurrence', COUNTS,
        ('how many times does {} turn round', 'how often does {} swing back',
         'how often does {} change its direction', 'how many turns does {} make'),
        ('how often does {} turn round', 'how many times does {} change its direction')),
    'stops': Kind(
        'recurrence', COUNTS[:2],
        ('how many times does {} stop', 'how often does {} come to rest',
         'how many stops does {} make', 'how many times does {} stand still after it moved'),
        ('how often does {} stop', 'how many times does {} come to rest')),
    'held': Kind(
        'contact', YES_NO,
        ('is {} still held at the end', 'do the fingers still hold {}',
         'is {} in the gripper at the end', 'does the gripper have {} now'),
        ('do the fingers have {} now', 'is {} still in the gripper')),
    'arrow': Kind(
        'time', ('forwards', 'backwards'),
        ('is the clip played forwards or backwards', 'does time run forwards or backwards here',
         'in which direction is the clip played', 'is the video played backwards or forwards'),
        ('in which direction is the video played', 'does the clip run forwards or backwards')),
    'speed': Kind(
        'time', ('normal', 'double'),
        ('is the clip played at normal or double speed', 'at which speed is the clip played',
         'how fast is the video played', 'is the video played at double or normal speed'),
        ('at which speed is the video played', 'how fast is the clip played')),
}
ANSWERS = tuple(dict.fromkeys(answer for kind in KINDS.values() for answer in kind.answers))


def words_of(text: str) -> list[str]:
    """Split a question into words, in small letters."""
    return re.findall(r'[a-z0-9]+', text.lower())


VOCABULARY = {word: number for number, word in enumerate(sorted(
    {word for kind in KINDS.values() for text in kind.phrasings(False)
     for word in words_of(text)}), start=UNKNOWN + 1)}
LONGEST = 16


def numbers_of(text: str) -> list[int]:
    """
    Turn a question into numbers of words.

    :param text: longer questions are cut after :data:`LONGEST` words.
    :returns: :data:`LONGEST` numbers.
    """
    found = [VOCABULARY.get(word, UNKNOWN) for word in words_of(text)][:LONGEST]
    return found + [0] * (LONGEST - len(found))
