"""Decide and start the automatic data processing of a synchrotron."""
