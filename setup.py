"""Everything is declared in setup.cfg; this file is here for pip."""

from setuptools import setup

setup()
