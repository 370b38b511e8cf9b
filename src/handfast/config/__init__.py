"""What a connection is told before it starts, and how a server chooses by the name that a client asks for."""
