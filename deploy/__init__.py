"""What an installation is put up with."""
