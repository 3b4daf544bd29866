"""Whether the permissions of the template are those that the calls of the end-to-end tests need: no fewer, no more."""
