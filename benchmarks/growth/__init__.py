"""What a picture costs as work grows: size, steps, images of one request, requests at once, decoder workers."""
