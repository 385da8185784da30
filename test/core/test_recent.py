"""A mapping that keeps the keys that were set last."""

from moss_perception.core.recent import Recent


def test_the_keys_that_were_set_last_are_kept():
    kept: Recent[str, int] = Recent(3)
    for number in range(1000):
        kept[f'key {number}'] = number
    assert list(kept.items()) == [('key 997', 997), ('key 998', 998), ('key 999', 999)]


def test_a_key_that_is_set_again_is_the_newest_and_one_that_is_read_is_not():
    kept: Recent[str, int] = Recent(2)
    kept['a'], kept['b'] = 1, 2
    kept['a'] += 1
    assert kept.get('b') == 2
    kept['c'] = 3
    assert kept == {'a': 2, 'c': 3}
