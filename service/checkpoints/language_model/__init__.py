"""The language model of an import: open and check a Hugging Face Llama folder, then write what serving needs."""
