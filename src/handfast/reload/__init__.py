"""What is read anew while it is in use: credentials, roots and lists, and what says when."""
