"""ISPyB: the look-up, the writing of jobs, the embedded database and its demo data.

Nothing is imported here: SQLAlchemy costs a command a fifth of a second.
"""
