"""A model whose chats something else than a Jinja template and a tokenizer.json encodes."""
