"""Ring 2: one module per stage of the processing chain.

A service is given its ports (a look-up, a recipe store, a clock) and turns one
message into the messages that follow from it. It knows nothing of stdin, STOMP
or click.
"""
