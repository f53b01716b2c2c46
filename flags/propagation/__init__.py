"""How a change reaches every process: publishing, listening, polling, the compiled runtime."""
