"""The sans-I/O core: values to requests, bytes to models."""
