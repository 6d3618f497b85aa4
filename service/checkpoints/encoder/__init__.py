"""The encoder of an import: open the files, then plan which tensor comes from which file."""
