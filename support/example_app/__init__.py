"""The application under test by default: its schema, entries, sessions and cache."""
