"""A run as one page: `contents` reads the run directory, a module makes each section of it, `page` writes the file."""
