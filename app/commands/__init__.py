"""What `python launch.py COMMAND` runs."""
