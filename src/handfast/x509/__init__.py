"""Certificates as they are written: encodings, names, usages, and what one says. Nothing here trusts anybody."""
