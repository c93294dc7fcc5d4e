"""Generated code of the public contract; see protos/imagegen."""
