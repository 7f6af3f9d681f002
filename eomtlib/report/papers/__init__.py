"""The papers' tables, printed and measured."""
