"""Designing an experiment: the page of a new one, the editor of a stored one, and the plan beside both."""
