"""What the person sees, and what keeps their work.  Uses only the public names of `ldm_core`."""
