"""Designing an experiment: the page of a new one, the editor of one that is there, and the plan beside them."""
