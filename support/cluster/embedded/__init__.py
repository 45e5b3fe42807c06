"""The cluster that the suite boots by itself: its layout, its configuration files, its start and its end."""
