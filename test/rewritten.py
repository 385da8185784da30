"""A recording with its messages changed, as somebody else's robot records them."""

from bag_factory import STORE
from rosbags.rosbag2 import Reader, StoragePlugin, Writer


def rewrite(source, path, change):
    """
    Copy a recording.

    :param change: yields what takes the place of (topic, type, ns, message).
    """
    with Reader(source) as reader:
        rows = [row for connection, ns, raw in reader.messages()
                for row in change(connection.topic, connection.msgtype, ns,
                                  STORE.deserialize_cdr(raw, connection.msgtype))]
    known = {}
    with Writer(path, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        for topic, kind, ns, message in sorted(rows, key=lambda row: row[2]):
            if topic not in known:
                known[topic] = writer.add_connection(topic, kind, typestore=STORE)
            writer.write(known[topic], ns, STORE.serialize_cdr(message, kind))
    return path
