"""Serving against peers: the same networks, the same requests and the same machine, behind five servers."""
