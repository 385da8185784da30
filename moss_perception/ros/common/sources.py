"""Who publishes a topic, and who has which name: several sources where one is expected."""

from collections import Counter
from collections.abc import Iterable

from rclpy.node import Node

_SHOWN = 4
# Nodes that publish what somebody recorded, or simulates.
_PLAYERS = ('bag_player', 'rosbag2_player', 'sim_cell')


def publishers_of(node: Node, topic: str) -> list[str]:
    """
    List the nodes that publish a topic; one that does so twice is listed twice.

    :param topic: the resolved name.
    """
    return sorted(full_name(info.node_name, info.node_namespace)
                  for info in node.get_publishers_info_by_topic(topic))


def full_name(name: str, namespace: str) -> str:
    """Return a node's full name."""
    return f'{namespace.rstrip("/")}/{name}'


def several(node: Node, topic: str, effect: str) -> str:
    """
    Describe several publishers of a topic that should have one; empty for at most one.

    :param effect: what they lead to, in words.
    """
    names = publishers_of(node, topic)
    if len(names) < 2:
        return ''
    return (f'{topic} has {len(names)} publishers ({listed(names)}): expected one, since '
            f'{effect}; stop or remap the others')


def is_played(node: Node, topic: str) -> bool:
    """
    Tell whether a topic comes from a recording or a simulation, whose stamps may be of any time.

    :returns: whether somebody publishes ``/clock``, this node follows it, or a player publishes
        the topic.
    """
    return (bool(node.get_parameter('use_sim_time').value) or node.count_publishers('/clock') > 0
            or any(info.node_name in _PLAYERS
                   for info in node.get_publishers_info_by_topic(topic)))


def namesakes(node: Node) -> list[str]:
    """List the full names that several nodes have."""
    return repeated(full_name(*one) for one in node.get_node_names_and_namespaces())


def repeated(names: Iterable[str]) -> list[str]:
    """List the names that occur more than once, sorted."""
    return sorted(name for name, count in Counter(names).items() if count > 1)


def namesake(node: Node) -> str:
    """Describe another node with this node's name; empty if there is none."""
    name = node.get_fully_qualified_name()
    if name not in namesakes(node):
        return ''
    return (f'several nodes have the name {name}: expected one, since services and parameters '
            'reach either of them; stop one, or start it in another namespace')


def listed(names: Iterable[str]) -> str:
    """Join names, and shorten a long list."""
    every = list(names)
    more = len(every) - _SHOWN
    return ', '.join(every[:_SHOWN]) + (f' and {more} more' if more > 0 else '')
