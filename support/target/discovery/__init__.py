"""Finds the parts of a user's cluster, and identifies them: by asking them, not by their names.

Servers refer to one another by addresses and names that may lead nowhere from here (containers publish theirs as
localhost:5435, say). So whatever is reached at an address is identified by what it says of itself.
"""
