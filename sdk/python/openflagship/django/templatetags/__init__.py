"""Template tags: put `openflagship.django` into INSTALLED_APPS."""
