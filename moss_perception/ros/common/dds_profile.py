"""A profile for Fast DDS: acknowledgements that come at once, for lock step."""

from collections.abc import Iterator
from contextlib import contextmanager
import os
from pathlib import Path
import sys
from tempfile import TemporaryDirectory

# The variable that names the profile, and the tag for the period, by major version of Fast DDS.
# Each version rejects a profile with the other's tag. Version 3 reads both variables, and writes
# half a dozen lines of errors about the older one.
VARIABLES = {
    'FASTRTPS_DEFAULT_PROFILES_FILE': 'heartbeatPeriod',  # 2, as in ROS 2 Humble and Jazzy
    'FASTDDS_DEFAULT_PROFILES_FILE': 'heartbeat_period',  # 3, as in ROS 2 Kilted
}
_LIBRARIES = {'FASTRTPS_DEFAULT_PROFILES_FILE': 'libfastrtps.so',
              'FASTDDS_DEFAULT_PROFILES_FILE': 'libfastdds.so'}

# By default a writer requests acknowledgements every 3 s; only a profile can change that.
PROFILE = """\
<?xml version="1.0" encoding="UTF-8" ?>
<dds xmlns="http://www.eprosima.com/XMLSchemas/fastRTPS_Profiles">
  <profiles>
    <data_writer profile_name="quick_acknowledgement" is_default_profile="true">
      <times>
        <{tag}><sec>0</sec><nanosec>4000000</nanosec></{tag}>
      </times>
    </data_writer>
  </profiles>
</dds>
"""


def user_profile() -> str:
    """Return the variable by which the user has set a profile; empty if there is none."""
    return next((name for name in VARIABLES if name in os.environ), '')


def _read_here() -> list[str]:
    """List the variables that the installed version reads; both if it can't be found."""
    prefixes = [*filter(None, os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep)),
                sys.prefix]
    found = [name for name, library in _LIBRARIES.items()
             if any((Path(x) / 'lib' / library).exists() for x in prefixes)]
    return found or list(VARIABLES)


@contextmanager
def quick_acknowledgement() -> Iterator[None]:
    """
    Set the profile for a participant that is created within the context.

    Other middlewares ignore it. A profile that the user has set is kept.
    """
    if user_profile():
        yield
        return
    with TemporaryDirectory(prefix='moss_perception_') as folder:
        names = _read_here()
        for name in names:
            path = Path(folder) / f'{name.lower()}.xml'
            path.write_text(PROFILE.format(tag=VARIABLES[name]), encoding='utf-8')
            os.environ[name] = str(path)
        try:
            yield
        finally:
            for name in names:
                os.environ.pop(name, None)
