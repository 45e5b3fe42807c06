"""Faults that several subjects inject, and the nemesis that injects and heals them."""
