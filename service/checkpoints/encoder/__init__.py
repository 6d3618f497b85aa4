"""The vision encoder of an import: open the published files, then plan which tensor comes from which file."""
