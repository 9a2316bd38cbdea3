"""One small process beside a program that holds jobs, for when the program cannot keep them alive.

The interpreter may be held for minutes by one call into C, or the whole program
stopped. Then nothing in the program can send a keepalive; this process can. It
is started by :mod:`spalloc_gevent.transport.guardian`, hears from the program's hub
many times in a keepalive interval, and does nothing as long as it does.

It ends with the program, unless this has just destroyed jobs that the Java server
may bring back: it looks at them for half a minute, and destroys them again.

It is nobody's child that the program has to wait for; but the process that
starts it is one, for some milliseconds after the first job is made: an
``os.wait()`` just then may return that one. Where the program is the one that
orphans are given to (process 1 of a container, a child subreaper), the guardian
is its child as well: ``guardian = False`` is for programs there that wait for
all of their children.
"""
