"""What becomes of freed memory, where glibc is the C library."""

import ctypes

# Of mallopt, in glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_LARGEST = 2 ** 31 - 1


def keep_freed_memory() -> bool:
    """
    Keep freed memory for the next allocation, in this process.

    glibc returns blocks of over 32 MiB to the system at once and maps new ones for the next
    step. The page faults of these take up to half of a training's time on the CPU.

    :returns: whether the C library accepted the setting; only glibc has it.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return all(mallopt(option, _LARGEST) == 1 for option in (_MMAP_THRESHOLD, _TRIM_THRESHOLD))


def return_freed_memory() -> bool:
    """
    Return freed memory to the system, in this process.

    What is freed in small pieces stays with the process. After a model was loaded, that is twice
    as much as the model holds.

    :returns: whether the C library can do it; only glibc can.
    """
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):
        return False
    trim(0)
    return True
