"""Scores and candidates find each other in either order, and do not wait for ever."""

from moss_perception.runtime.pairing import Pair, Pairing
import numpy as np
import pytest


def at(x, count=2):
    return np.array([[x + i, 0, 0.5] for i in range(count)], np.float32)


@pytest.fixture
def pairing():
    return Pairing(0.2)


def test_scores_after_their_candidates_are_paired_at_once(pairing):
    assert pairing.candidates(at(1), 'first') == []
    assert pairing.candidates(at(2), 'second') == []
    assert pairing.scores(at(1), 's', 0.0) == [Pair('s', 'first')]


def test_scores_before_their_candidates_wait_for_them(pairing):
    pairing.candidates(at(1), 'first')
    assert pairing.scores(at(2), 's', 0.0) == []
    assert pairing.candidates(at(3), 'others') == []
    assert pairing.candidates(at(2), 'second') == [Pair('s', 'second')]
    assert pairing.expired(9.0) == []


def test_the_newest_of_equal_candidates_is_taken(pairing):
    pairing.candidates(at(1), 'first')
    pairing.candidates(at(1), 'again')
    assert pairing.scores(at(1), 's', 0.0) == [Pair('s', 'again')]


def test_what_waits_in_vain_is_of_no_candidates(pairing):
    pairing.candidates(at(1), 'first')
    pairing.scores(at(5, 1), 'default', 10.0)
    assert pairing.expired(10.19) == []
    assert pairing.expired(10.2) == [Pair('default', None)]
    assert pairing.expired(99.0) == []


def test_older_scores_stop_waiting_when_newer_ones_are_paired(pairing):
    pairing.scores(at(1), 'old', 0.0)
    pairing.scores(at(2), 'new', 0.1)
    assert pairing.candidates(at(2), 'second') == [Pair('new', 'second')]
    assert pairing.candidates(at(1), 'first') == []
    pairing.scores(at(3), 'lost', 0.2)
    assert pairing.scores(at(1), 'known', 0.3) == [Pair('known', 'first')]
    assert pairing.candidates(at(3), 'late') == []


def test_the_default_point_is_known_at_once_after_an_empty_list(pairing):
    pairing.candidates(at(1), 'first')
    pairing.candidates(at(0, 0), 'none')
    assert pairing.scores(at(5, 1), 'default', 0.0) == [Pair('default', None)]


def test_a_point_without_a_place_is_known_to_be_no_candidate(pairing):
    assert pairing.scores(np.full((1, 3), np.nan, np.float32), 's', 0.0) == [Pair('s', None)]


def test_no_more_than_a_few_wait(pairing):
    ended = [pair for n in range(40) for pair in pairing.scores(at(n), n, 0.0)]
    assert ended == [Pair(n, None) for n in range(24)]
