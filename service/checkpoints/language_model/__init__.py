"""The language model of an import: open and check a Llama folder, then put it into the new one."""
