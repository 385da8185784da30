"""The newest messages are kept, bounded in time and in bytes."""

from moss_perception.data.bags.run_up import Received, RunUp


def message(seconds, size=10, image=False):
    return Received('/x', 'std_msgs/msg/String', bytes(size), round(seconds * 1e9),
                    round(seconds * 1e9) if image else 0)


def filled(run_up, count=10, **options):
    for index in range(count):
        run_up.add(message(1 + index, **options))
    return run_up


def test_old_messages_are_dropped():
    run_up = filled(RunUp(3.0, 10**6))
    assert [x.received_ns for x in run_up] == [n * 10**9 for n in (7, 8, 9, 10)]
    assert not run_up.cut_short
    assert len(run_up.since_reception(9 * 10**9)) == 2


def test_too_many_bytes_cut_it_short_and_are_said():
    run_up = filled(RunUp(60.0, 35))
    assert len(list(run_up)) == 3 and run_up.cut_short
    # One message that is larger than the memory leaves nothing, and breaks nothing.
    run_up.add(message(20, size=100))
    assert list(run_up) == []
    run_up.add(message(21))
    assert len(list(run_up)) == 1


def test_an_attempt_begins_at_an_image():
    run_up = RunUp(60.0, 10**6)
    for index in range(10):
        run_up.add(message(1 + index, image=index % 3 == 0))
    assert run_up.images == 4
    assert [x.received_ns for x in run_up.since_image(5 * 10**9)] == [
        n * 10**9 for n in (7, 8, 9, 10)]
    assert run_up.since_image(11 * 10**9) == []


def test_what_is_recorded_is_forgotten():
    run_up = filled(RunUp(60.0, 35))
    run_up.forget()
    assert list(run_up) == [] and len(list(filled(run_up, 3))) == 3
