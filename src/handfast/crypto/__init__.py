"""The only folder that imports ``cryptography.hazmat``."""
