"""The cluster that the suite boots itself: its plan, its configuration files, and its boot."""
