"""Scheduled jobs on experiments, and their timetable."""
