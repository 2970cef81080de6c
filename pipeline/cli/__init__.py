"""The command line: one module a command, `main` chooses among them."""
