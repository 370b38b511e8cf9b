"""Certificate files looked at."""
