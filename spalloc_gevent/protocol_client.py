"""What users of the existing client import from its ``protocol_client`` module."""

from spalloc_gevent.client import ProtocolClient
from spalloc_gevent.errors import ProtocolError, ProtocolTimeoutError, SpallocServerException

__all__ = [
    "ProtocolClient",
    "ProtocolError",
    "ProtocolTimeoutError",
    "SpallocServerException",
]
