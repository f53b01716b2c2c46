"""The one room for calls to addresses that people enter: resolved, checked, pinned, bounded."""
