"""Trials for the tests of scripts/reliability.py, which run in a process of their own."""

import os
import time


class Faulty:
    """Trials of which one crashes, one hangs and one raises."""

    def one(self, number):
        if number == 2:
            os.kill(os.getpid(), 11)
        if number == 4:
            time.sleep(60)
        if number == 6:
            raise ArithmeticError('the sixth')
        return 'well'

    def end(self):
        return {'ended': True}
