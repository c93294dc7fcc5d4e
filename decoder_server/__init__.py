"""The decoder worker: Img2Img with the multilingual text encoder, MoVQ and the UNet loop."""
