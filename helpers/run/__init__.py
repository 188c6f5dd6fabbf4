"""What runs the notebooks: the command line, papermill, and what is up to date."""
