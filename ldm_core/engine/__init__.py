"""One thread that answers what the running jobs' samplers ask for."""
