"""The story of a TLS handshake, one generator per role and version; ``flow`` says what each may do."""
