"""Every page of the console at size."""
