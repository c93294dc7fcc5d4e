"""What the prior and the decoder worker share: flags, loading, whose turn it is, and the model library's errors."""
