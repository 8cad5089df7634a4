"""Slurm: the states of an account's jobs, from slurmrestd or from ``squeue``."""
