"""Everything about the distribution is said in setup.cfg."""

from setuptools import setup

setup()
