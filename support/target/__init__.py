"""The cluster under test: its topology and capabilities, and one module for each of its components."""
