"""What a person writes before it is a prompt: wildcards, styles, tags of LoRAs; and help in writing it."""
