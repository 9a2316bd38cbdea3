"""One small process beside a program that holds jobs, for when the program cannot keep them alive.

The interpreter may be held for minutes by one call into C, or the whole program
stopped. Then nothing in the program can send a keepalive; this process can. It
is started by :mod:`spalloc_gevent.engine.guardian`, hears from the program's hub
many times in a keepalive interval, and does nothing as long as it does. It ends
with the program.
"""
