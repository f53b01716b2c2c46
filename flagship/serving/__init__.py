"""How the web process answers: fast lane, data plane."""
