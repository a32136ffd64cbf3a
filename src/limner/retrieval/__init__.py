"""Finding traits, narratives, evidence and segments by meaning: embeddings, the Chroma index, relevance."""
