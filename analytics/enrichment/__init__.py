"""What happens to an event before it is stored: bots, attributes, pseudonyms."""
