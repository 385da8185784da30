"""Have Fast DDS ask for acknowledgements often enough for lock step."""

from collections.abc import Iterator
from contextlib import contextmanager
import os
from pathlib import Path
from tempfile import TemporaryDirectory

VARIABLE = 'FASTRTPS_DEFAULT_PROFILES_FILE'

# A writer asks every 3 s unless told otherwise, and only a profile can tell it.
PROFILE = """\
<?xml version="1.0" encoding="UTF-8" ?>
<dds xmlns="http://www.eprosima.com/XMLSchemas/fastRTPS_Profiles">
  <profiles>
    <data_writer profile_name="quick_acknowledgement" is_default_profile="true">
      <times>
        <heartbeatPeriod><sec>0</sec><nanosec>4000000</nanosec></heartbeatPeriod>
      </times>
    </data_writer>
  </profiles>
</dds>
"""


@contextmanager
def quick_acknowledgement() -> Iterator[bool]:
    """
    Set the profile for the participant that is created within the context.

    Another middleware ignores it; a profile that the user has set stays.

    :returns: whether it was set.
    """
    if VARIABLE in os.environ:
        yield False
        return
    with TemporaryDirectory(prefix='moss_perception_') as folder:
        path = Path(folder) / 'quick_acknowledgement.xml'
        path.write_text(PROFILE, encoding='utf-8')
        os.environ[VARIABLE] = str(path)
        try:
            yield True
        finally:
            del os.environ[VARIABLE]
