"""Files of any kind, read with care: archives, images, segment maps, lists in JSON."""
