"""The pipeline behind general model servers, each set up as its own documentation recommends."""
