"""Outside systems, one small module each; each needs the extra of its name. Nothing is imported with the package."""
