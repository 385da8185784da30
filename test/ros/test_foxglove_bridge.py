"""The bridge to Foxglove, spoken to as its app does: by its WebSocket protocol."""

import json
import struct

import pytest

pytest.importorskip('foxglove', reason='foxglove-sdk is not installed')

from monitor_stage import Stage
from moss_perception.core.errors import MossError
from moss_perception.ros.monitor.foxglove_bridge import FoxgloveBridge
from rclpy.serialization import deserialize_message, serialize_message
from std_msgs.msg import String
from std_srvs.srv import SetBool
from websockets.sync.client import connect

pytestmark = pytest.mark.timeout(120)
_MESSAGE, _ANSWER, _CALL = 1, 3, 2


def receive(socket, until):
    """Return the first message for which a function is true."""
    while True:
        message = socket.recv(timeout=20)
        read = message if isinstance(message, bytes) else json.loads(message)
        if until(read):
            return read


def test_foxglove_gets_topics_and_calls_services(harness, ros_domain):
    peer = harness.Peer('grasp_predictor')
    try:
        stage = Stage(peer)
        with FoxgloveBridge(port=0, args=['--ros-args']) as bridge, connect(
                f'ws://127.0.0.1:{bridge.port}', subprotocols=['foxglove.sdk.v1']) as socket:
            with pytest.raises(MossError, match=f'port {bridge.port}: .*expected a free port'):
                FoxgloveBridge(port=bridge.port).__enter__()
            told = {}
            while not {'advertise', 'advertiseServices'} <= told.keys():
                one = receive(socket, lambda x: isinstance(x, dict))
                told[one['op']] = one
            channels = told['advertise']['channels']
            services = told['advertiseServices']['services']
            known = {one['topic']: one for one in channels}
            gate = known['/grasp_gate/state']
            assert (gate['encoding'], gate['schemaName'], gate['schema'].strip()) == (
                'cdr', 'std_msgs/msg/String', 'string data')
            # Nobody has asked for pictures.
            assert peer.node.count_subscribers('/grasp_predictor/debug_image') == 0
            socket.send(json.dumps({'op': 'subscribe', 'subscriptions': [
                {'id': 7, 'channelId': gate['id']}]}))
            stage.gate.publish(String(data='selected'))
            data = receive(socket, lambda x: isinstance(x, bytes) and x[0] == _MESSAGE)
            assert deserialize_message(data[13:], String).data == 'selected'
            # Who comes later gets what is latched, too.
            with connect(f'ws://127.0.0.1:{bridge.port}',
                         subprotocols=['foxglove.sdk.v1']) as other:
                receive(other, lambda x: isinstance(x, dict) and x['op'] == 'advertise')
                other.send(json.dumps({'op': 'subscribe', 'subscriptions': [
                    {'id': 8, 'channelId': gate['id']}]}))
                data = receive(other, lambda x: isinstance(x, bytes) and x[0] == _MESSAGE)
                assert deserialize_message(data[13:], String).data == 'selected'
            enable = next(x for x in services if x['name'] == '/grasp_predictor/enable')
            response = harness.wait_for(lambda: call(socket, enable['id']), 20, 'an answer')
            assert response.success and stage.calls[-1] == 'pause'
    finally:
        peer.close()


def call(socket, service):
    """Pause by a service; None while it is not discovered yet."""
    request = bytes(serialize_message(SetBool.Request(data=False)))
    socket.send(struct.pack('<BIII', _CALL, service, 1, 3) + b'cdr' + request)
    read = receive(socket, lambda x: x[0] == _ANSWER if isinstance(x, bytes)
                   else x['op'] == 'serviceCallFailure')
    return None if isinstance(read, dict) else deserialize_message(
        read[13 + 3:], SetBool.Response)


@pytest.mark.parametrize(('host', 'services', 'offered'), [
    ('127.0.0.1', None, True), ('0.0.0.0', None, False), ('0.0.0.0', True, True)])
def test_on_other_addresses_services_are_off_unless_asked_for(
        ros_domain, host, services, offered):
    with FoxgloveBridge(host, 0, services, ['--ros-args']) as bridge, connect(
            f'ws://127.0.0.1:{bridge.port}', subprotocols=['foxglove.sdk.v1']) as socket:
        info = receive(socket, lambda x: isinstance(x, dict) and x['op'] == 'serverInfo')
        assert ('services' in info['capabilities']) == offered
        receive(socket, lambda x: isinstance(x, dict) and x['op'] == 'advertise')
        # Of services that there are not, a call fails.
        socket.send(struct.pack('<BIII', _CALL, 1, 1, 3) + b'cdr')
        answer = receive(socket, lambda x: isinstance(x, dict) and x['op'] in (
            'advertiseServices', 'serviceCallFailure', 'status'))
        assert (answer['op'] == 'advertiseServices') == offered
        # The SDK does not look at the Origin: see the threat model in docs/security.md.
        with connect(f'ws://127.0.0.1:{bridge.port}', subprotocols=['foxglove.sdk.v1'],
                     origin='https://elsewhere.example') as other:
            assert receive(other, lambda x: isinstance(x, dict))['op'] == 'serverInfo'
