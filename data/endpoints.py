"""Services that a user names by HOST:PORT: whether one answers."""

import socket

_PATIENCE_S = 10.0


def why_silent(endpoint: str) -> str:
    """Asks whether anything answers at an address.

    Args:
        endpoint: HOST:PORT; an IPv6 host may be in brackets.

    Returns:
        Why nothing does within 10 s; "" where something does.

    Raises:
        ValueError: it is not HOST:PORT.
    """
    host, _, port = endpoint.rpartition(":")
    if "://" in endpoint or not host or not port.isdigit():
        raise ValueError("needs HOST:PORT")
    try:
        socket.create_connection((host.strip("[]"), int(port)), _PATIENCE_S).close()
    except (OSError, OverflowError) as error:
        return str(error)
    return ""
