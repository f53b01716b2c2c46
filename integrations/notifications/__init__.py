"""Telling people: who is told of an event, in which words, and through which channel."""
