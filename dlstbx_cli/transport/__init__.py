"""How messages travel: the envelope of the pipe, the one driver, and the brokers."""
