"""A private key in another process or machine: the signer, the protocol and the holder. docs/keyholder.md."""
