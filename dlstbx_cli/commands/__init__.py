"""The commands: one click command a module, options in, ring 2 called, exit code out."""
