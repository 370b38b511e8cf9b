"""Making certificate authorities, certificates, revocation lists and OCSP responses, healthy ones and broken ones."""
