"""Boards for the tests of this folder."""

pytest_plugins = ["spalloc_gevent.pytest_plugin"]
