"""What was trained, evaluated and timed: the records, their keys, and the folder of them."""
