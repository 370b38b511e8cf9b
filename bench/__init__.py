"""What handfast costs beside other implementations, measured side by side in one process: `make bench`."""
