"""One module for each task on the page."""
