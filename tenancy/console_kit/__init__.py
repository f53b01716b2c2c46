"""What every console page is built from: context, lists, charts, conflicts. Importing it registers nothing."""
