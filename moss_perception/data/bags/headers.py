"""Read headers of serialised messages without deserialising them."""

import struct

from moss_perception.core.errors import BagError

# End of the stamp at the beginning of a std_msgs/Header, in bytes.
STAMP_END = 12


def stamp_of(raw: bytes) -> int:
    """
    Read the header stamp of a message that begins with a std_msgs/Header, without decoding it.

    :param raw: CDR bytes.
    :returns: nanoseconds.
    :raises BagError: if there are too few bytes.
    """
    if len(raw) < STAMP_END:
        raise BagError(
            f'message of {len(raw)} bytes: expected a header of at least {STAMP_END}')
    sec, nanosec = struct.unpack_from('<iI' if raw[1] & 1 else '>iI', raw, 4)
    return sec * 10**9 + nanosec


def header_of(raw: bytes) -> tuple[int, str]:
    """
    Read the std_msgs/Header that a message begins with, without decoding the rest.

    :param raw: CDR bytes.
    :returns: stamp in nanoseconds, and the frame.
    :raises BagError: if there are too few bytes.
    """
    stamp_ns, begin = stamp_of(raw), STAMP_END + 4
    if len(raw) >= begin:
        (length,) = struct.unpack_from('<I' if raw[1] & 1 else '>I', raw, STAMP_END)
        if len(raw) >= begin + length:
            return stamp_ns, raw[begin:begin + length].rstrip(b'\0').decode(errors='replace')
    raise BagError(f'message of {len(raw)} bytes: expected a header with the name of a frame')
