"""What several tests use is tested, too."""
