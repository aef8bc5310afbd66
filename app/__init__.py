"""The Tidemark application: edge, services, domain, record and adapters."""
