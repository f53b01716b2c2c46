"""The parts of a plan that need no database: its document, its durations, its ranges, the templates, cron."""
