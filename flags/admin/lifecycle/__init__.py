"""Stages of flags in the console: the page of flag debt, and what a flag's page and the list say."""
