"""Integrations with other systems, one module each. Importing the package imports none; most need an extra."""
