"""What the C library does with the memory that a training step frees."""

import ctypes

# Of mallopt, in glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_LARGEST = 2 ** 31 - 1


def keep_freed_memory() -> bool:
    """
    Keep what is freed for what is allocated next, in this process and from now on.

    glibc gives blocks of over 32 MiB back to the system at once and gets new ones for the next
    step, each page of which is a fault and is filled with zeros: up to half of a training's time
    on the CPU.

    :returns: whether the C library could be told; another one than glibc is left as it is.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return all(mallopt(option, _LARGEST) == 1 for option in (_MMAP_THRESHOLD, _TRIM_THRESHOLD))
