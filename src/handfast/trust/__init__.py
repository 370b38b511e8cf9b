"""Who is the peer: roots, verifiers and revocation, and why a verdict is what it is."""
