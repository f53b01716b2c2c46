"""The console's pages for plans, scheduled changes and triggers. Importing this package registers them."""

from rollouts.admin import flag_panel, plans, schedules, triggers

__all__ = ["flag_panel", "plans", "schedules", "triggers"]
