"""Before an experiment starts: sample size, pre-flight checks, simulations."""
