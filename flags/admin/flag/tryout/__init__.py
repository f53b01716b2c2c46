"""Try it: the form, its answers, and the steps of an answer in words."""
