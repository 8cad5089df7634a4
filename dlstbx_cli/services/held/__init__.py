"""Held jobs: what is known of them, and the pure policy of their release."""
