"""Reading the version log: history, documents and steps."""
