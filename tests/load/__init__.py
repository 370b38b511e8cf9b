"""Many connections, large ones, slow ones, cancelled ones and cut ones; `make load` runs them and nothing else does."""
