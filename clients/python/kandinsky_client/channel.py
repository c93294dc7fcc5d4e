"""How a client connects to a gateway: message sizes, keepalive, balancing."""

import ipaddress

MAX_MESSAGE_BYTES = 64 * 1024 * 1024
_PING_SECONDS = 30
_PING_TIMEOUT_SECONDS = 10
DEFAULT_SERVER = "127.0.0.1:50050"

ChannelOptions = list[tuple[str, int | str]]


def options(server: str) -> ChannelOptions:
    """The channel's options for `server`, which is host:port, or dns:///name:port for all addresses of a name."""
    return [
        ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
        ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
        # A picture may take minutes without a byte on the wire: notice a dead connection, and keep middleboxes from
        # closing a live one. The gateway allows pings this often.
        ("grpc.keepalive_time_ms", 1000 * _PING_SECONDS),
        # The first was heeded by older versions of gRPC, the second is by this one (1.85).
        ("grpc.keepalive_timeout_ms", 1000 * _PING_TIMEOUT_SECONDS),
        ("grpc.http2.ping_timeout_ms", 1000 * _PING_TIMEOUT_SECONDS),
        ("grpc.http2.max_pings_without_data", 0),
        # Spread calls over all addresses of the name, past those that are down.
        ("grpc.service_config", '{"loadBalancingConfig": [{"round_robin": {}}]}'),
        # Else a second attempt finds the connection that failed for the first, not yet tried anew.
        ("grpc.initial_reconnect_backoff_ms", 200),
        # http_proxy is not meant for one's own machine.
        ("grpc.enable_http_proxy", 0 if is_loopback(server) else 1),
    ]


def is_loopback(server: str) -> bool:
    """Whether `server` is on this machine."""
    host = server.rpartition(":")[0].strip("[]")
    try:
        return server.startswith("unix:") or host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
