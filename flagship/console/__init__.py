"""The console's frame: theme, navigation, home page, charts."""
