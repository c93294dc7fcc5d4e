"""Training of the demo checkpoint (torch, diffusers and transformers; never needed to serve)."""
