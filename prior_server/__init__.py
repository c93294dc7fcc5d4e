"""The prior worker: EncodePrompt and Interpolate with CLIP's towers and the prior transformer."""
