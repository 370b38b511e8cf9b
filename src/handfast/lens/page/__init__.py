"""The page of a handshake: its words in other languages."""
