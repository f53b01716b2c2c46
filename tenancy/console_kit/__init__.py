"""The building blocks of console pages: context, lists, charts, conflicts. Importing the package registers nothing."""
