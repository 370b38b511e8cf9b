"""What is seen of a proxy: a log and numbers of what its journal is told, an address at which they are asked for, and
captures of single clients."""
