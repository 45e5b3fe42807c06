"""The system under test: what it is, how to reach it, how the embedded one is run."""
