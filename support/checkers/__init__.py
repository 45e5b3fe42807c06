"""Pure functions from recorded facts to a verdict; they know nothing of databases."""
