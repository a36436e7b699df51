"""What stays on the disk: pictures with their metadata, models, and where they lie."""
