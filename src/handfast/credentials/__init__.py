"""Who am I: our certificate chain, and the signer that has its key, in this process or in a token."""
