"""What is installed and packaged is what is locked."""
