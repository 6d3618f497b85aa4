"""The routes that are ours: files, batches, embeddings, usage, models, adapters, page, version.

The application imports one function from each that adds the route. A route reads the request, calls
a lower folder for the work, and writes the response; it must not know the other routes.
"""
