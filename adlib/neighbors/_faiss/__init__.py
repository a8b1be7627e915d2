"""Search with FAISS indexes."""
