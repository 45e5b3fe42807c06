"""The commands of the program: a module for each, with its options and what they mean.

The work is done by modules of `support.cli`, which are imported when a command is called: `--help` lists all commands,
and is answered at once.
"""
