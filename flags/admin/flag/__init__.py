"""One flag's pages in the console."""
