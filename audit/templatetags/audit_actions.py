"""The registry of actions in templates."""

from django import template

from audit.actions import label_of

register = template.Library()
register.filter("action_label", label_of)
