"""The text side: a tokenizer and a small Llama that learn conversations and never see an image.

Where a conversation has an image, the language model reads **sums of its own word embeddings**: one
sum for each query token of the vision side, made of the words of a cell's object, of the
background, of the number of objects, or of the written text. Nothing else about images reaches it.
Alignment then has to find the one linear map from query tokens to such sums.
"""
