"""The browser SDK's size beside those of others."""
