"""Who takes certificates with which kind of key: the tables of docs/certificates.md, measured."""
