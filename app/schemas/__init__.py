"""Request and response models of the edges."""
