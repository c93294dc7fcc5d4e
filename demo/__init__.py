"""The demo checkpoint: how it is drawn, trained, exported and measured."""
