"""Pages of docs/ that are made from the code: the catalogue of errors, the legal orders of messages."""
