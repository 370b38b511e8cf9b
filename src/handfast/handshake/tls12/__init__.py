"""The handshake of TLS 1.2. RFC 5246, with the extended main secret of RFC 7627."""
