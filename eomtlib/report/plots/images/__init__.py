"""Images with segments over them."""
