"""The program `accept`."""
