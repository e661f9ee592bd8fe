"""The MongoDB adapter: the only importer of pymongo and bson."""
