"""The demo: an organization with two flags and an experiment whose figures are known beforehand."""
