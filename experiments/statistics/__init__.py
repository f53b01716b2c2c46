"""The statistics of experiments, pure: numpy and scipy, no Django, no storage, no clock.

Inputs are frozen summaries that add over disjoint users, results are frozen too, and a figure that cannot be inferred
is None with the reason beside it. Effects are treatment minus control; one alpha drives test, interval and power.
"""
