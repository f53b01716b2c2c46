"""Answers to evaluations, their explanation, and the impact of a change that is not saved."""
