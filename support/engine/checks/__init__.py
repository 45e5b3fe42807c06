"""Checks that several subjects need: pure functions over recorded facts."""
