"""Freed memory is kept for a training, and returned by a node."""

import subprocess
import sys

import pytest

SCRIPT = """
import resource, sys, torch
from moss_perception.core.memory import keep_freed_memory
if sys.argv[1] == 'keep' and not keep_freed_memory():
    sys.exit('not glibc')
found = []
for _ in range(24):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.empty(9 << 20).fill_(1)
    found.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
# It takes a few until the free blocks are where they stay.
print(sorted(found[-8:])[4])
"""


def faults(word: str) -> int:
    run = subprocess.run([sys.executable, '-c', SCRIPT, word], capture_output=True, text=True,
                         timeout=100)
    if 'not glibc' in run.stderr:
        pytest.skip('this C library has no mallopt')
    assert run.returncode == 0, run.stderr
    return int(run.stdout)


def test_a_tensor_that_is_made_again_costs_few_page_faults():
    assert faults('keep') < 100


def test_without_it_each_costs_thousands():
    # With huge pages there are fewer, and there is nothing to gain.
    found = faults('leave')
    if found < 100:
        pytest.skip(f'this system maps memory in larger pages: {found} faults')
    assert found > 1000


FREED = """
import ctypes, sys
from moss_perception.core.memory import return_freed_memory

def resident_mib():
    with open('/proc/self/status') as file:
        line, = [line for line in file if line.startswith('RssAnon:')]
    return int(line.split()[1]) / 1024

c = ctypes.CDLL(None)
c.malloc.restype = ctypes.c_void_p
blocks = [c.malloc(ctypes.c_size_t(2000)) for _ in range(50_000)]
for block in blocks:
    ctypes.memset(block, 1, 2000)
# The last one is held, so that the heap can't shrink by itself.
for block in blocks[:-1]:
    c.free(ctypes.c_void_p(block))
before = resident_mib()
if not return_freed_memory():
    sys.exit('not glibc')
print(round(before - resident_mib()))
"""


def test_freed_memory_below_what_is_held_is_returned():
    run = subprocess.run([sys.executable, '-c', FREED], capture_output=True, text=True,
                         timeout=100)
    if 'not glibc' in run.stderr:
        pytest.skip('this C library has no malloc_trim')
    assert run.returncode == 0, run.stderr
    assert int(run.stdout) > 80
