"""Pictures of a finished run: payloads, pages, one file for a USB stick. Computes no score."""
