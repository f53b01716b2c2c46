"""Organizations, projects, environments, members and credentials; `access` is the only door to a tenant's objects."""
