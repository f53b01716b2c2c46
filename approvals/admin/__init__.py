"""The console's pages for change requests, policies and freezes. Importing this package registers them."""
