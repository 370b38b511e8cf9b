"""Layer 2: bytes to messages and back. No cryptography, no clock, no input or output."""
