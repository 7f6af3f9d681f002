"""The options of the verbs. Nothing heavy is imported here, so that help is there at once."""
