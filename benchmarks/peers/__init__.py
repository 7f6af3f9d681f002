"""What people would use instead, written as a good engineer would, and then left alone."""
