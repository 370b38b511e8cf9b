"""How many bytecodes a handshake and a record may take, as a table that `make test` holds every change against."""
