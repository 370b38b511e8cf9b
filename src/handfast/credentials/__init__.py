"""Who am I: our certificate chain, and whoever signs with its key, in this process or in a token."""
