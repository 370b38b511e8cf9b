"""Who am I (credentials and signers), who is the peer (verifiers, names, roots), and why (verdicts)."""
