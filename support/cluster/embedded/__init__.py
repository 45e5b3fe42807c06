"""The cluster that the suite boots by itself: its plan, its configuration files, and its boot."""
