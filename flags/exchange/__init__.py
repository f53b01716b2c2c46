"""Export and import of whole environments, also from other products."""
