"""Where images and labels come from: a module for each kind of source, and what they share."""
