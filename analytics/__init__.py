"""Events in (exposures and conversions), counted once, and the aggregates that experiments ask for."""
