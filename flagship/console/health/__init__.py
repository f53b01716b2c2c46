"""The pages that say how the platform is: its parts, its jobs, the services that are connected to it."""
