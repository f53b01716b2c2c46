"""The kill switch in the console: one flag, several flags, a tag."""
