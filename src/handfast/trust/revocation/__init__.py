"""Whether a certificate on a path was revoked: by lists (RFC 5280 5) and by OCSP responses (RFC 6960)."""
