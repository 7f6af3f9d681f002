"""Are these the papers' models? Costs beside the printed ones, outputs beside independent ones."""
