"""Bytes and order: what goes over the wire, without a socket, a clock or gevent."""
