"""Stamps of another clock, and images that jump in time, are found and told with their offset."""

from moss_perception.core.stamps import StampCheck

S = 10**9


def told(images, candidates=(), lag=0.0):
    """Take images at 10 Hz, and candidates recorded with each, stamped ``lag`` s off."""
    check = StampCheck()
    for stamp in images:
        if stamp in candidates:
            check.candidates(round((stamp + lag) * S))
        check.image(round(stamp * S))
    return check.lines()


def test_within_a_window_an_offset_that_begins_or_ends_is_told_soon():
    now = [0.0]
    check = StampCheck(60.0, lambda: now[0])

    def play(seconds, lag_s):
        for _ in range(10 * seconds):
            now[0] += 0.1
            check.candidates(round((now[0] + lag_s) * S))
            check.image(round(now[0] * S))
    play(3600, 0.0)
    assert check.apart() == []
    play(40, 0.5)
    (line,) = check.apart()
    assert 'stamped 0.500 s ahead of the images' in line
    play(40, 0.0)
    assert check.apart() == []
    # Nor does what nobody continues count for ever.
    play(60, 0.5)
    now[0] += 61.0
    assert check.apart() == []


STAMPS = [10 + n / 10 for n in range(40)]


def test_candidates_of_the_images_and_late_ones_are_right():
    assert told(STAMPS, STAMPS) == []
    assert told(STAMPS, STAMPS[::3], -0.3) == []
    assert told(STAMPS) == []


def test_candidates_ahead_of_the_images_are_told_with_the_offset():
    (line,) = told(STAMPS, STAMPS, 0.2)
    assert 'stamped 0.200 s ahead of the images' in line
    (line,) = told(STAMPS, STAMPS[::4], 10.0)
    assert 'stamped 10.000 s ahead' in line


def test_candidates_of_an_older_clock_are_told():
    (line,) = told(STAMPS, STAMPS, -5.0)
    # Measured from the image before.
    assert 'stamped 4.900 s behind the images' in line


def test_images_that_jump_and_images_of_equal_stamps_are_counted():
    jumping = [x + 3 * (n % 20 == 10) for n, x in enumerate(STAMPS)]
    (line,) = told(jumping)
    assert line.startswith('2 of 40 images are stamped before') and 'up to 2.900 s' in line
    (line,) = told(sorted([*STAMPS, *STAMPS[:5]]))
    assert line.startswith('5 of 45 images have the stamp')
