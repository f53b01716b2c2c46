"""Migrations, forward and back."""
