"""The HTTP surfaces, beside bare applications and Unleash's server."""
