"""How the parts of a user's cluster are found, and told apart, from here: by asking them, not by what they are called.

Servers call one another by addresses and names that need not lead anywhere from here (containers publish theirs as
localhost:5435, say). What is reached at an address is identified by what it says of itself.
"""
