"""Published values that the tests compare with."""
