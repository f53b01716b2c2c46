"""Where code refers to flags: scanning, reporting, a comment for a pull request, and clean-up."""
