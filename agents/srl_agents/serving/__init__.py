"""Environments offered over the network: OpenEnv's protocol, and tools over MCP."""
