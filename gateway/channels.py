"""Channels to workers."""

import grpc

_PING_SECONDS = 11
_PING_TIMEOUT_SECONDS = 4


def open_channel(
    address: str, max_message_bytes: int, credentials: grpc.ChannelCredentials | None, server_name: str | None = None
) -> grpc.aio.Channel:
    """A channel to one worker.

    Args:
        address: host:port.
        max_message_bytes: largest message that it may send.
        credentials: None for no TLS.
        server_name: the name its certificate must have, where that is not the address's.
    """
    options: list[tuple[str, int | str]] = [
        ("grpc.max_receive_message_length", max_message_bytes),
        ("grpc.max_send_message_length", -1),  # what the gateway has accepted it also sends
        # A worker may say nothing for long; one that is gone, or stands still, is noticed within 15 s all the same.
        # Workers refuse more than one ping in 10 s.
        ("grpc.keepalive_time_ms", 1000 * _PING_SECONDS),
        # Not keepalive_timeout_ms, which is not heeded (gRPC 1.85): it was 71 s.
        ("grpc.http2.ping_timeout_ms", 1000 * _PING_TIMEOUT_SECONDS),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.enable_http_proxy", 0),  # a proxy in the environment is for the internet, not for workers
        # A worker that is back gets work within seconds; gRPC's own limits are 120 s and, to connect, 20 s.
        ("grpc.initial_reconnect_backoff_ms", 200),
        ("grpc.max_reconnect_backoff_ms", 1000),
        ("grpc.min_reconnect_backoff_ms", 2000),
        # A channel of its own, not one that other gateways of the process share.
        ("grpc.use_local_subchannel_pool", 1),
    ]
    if server_name is not None:
        options.append(("grpc.default_authority", server_name))
    if credentials is None:
        return grpc.aio.insecure_channel(address, options)
    return grpc.aio.secure_channel(address, credentials, options)
