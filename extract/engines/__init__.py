"""What runs a backbone over batches of pixels."""
