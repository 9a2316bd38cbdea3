"""Connections to spalloc servers, and what goes on without the caller.

The only layer with sockets, locks, threads and greenlets. gevent is imported
when something needs it: a greenlet of the caller's, or the background hub.
"""
