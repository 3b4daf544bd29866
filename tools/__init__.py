"""Tools for working on the code; the targets of the Makefile run them."""
