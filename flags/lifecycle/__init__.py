"""Which stage of its life a flag is in, why, and who is reminded: worked out from evidence, and stored nowhere."""
