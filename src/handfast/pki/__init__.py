"""Making certificate authorities, certificates and revocation lists, healthy ones and broken ones."""
