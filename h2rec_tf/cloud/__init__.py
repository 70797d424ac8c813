"""Vertex AI: the connection, the requests, and what they do together. Needs the extra `cloud`."""
