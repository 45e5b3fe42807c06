"""What scenarios with faults do and ask, each in a call: strike, measure, judge.

Above the world and its ordeal, and below the steps: a step is one call of a function here.
"""
