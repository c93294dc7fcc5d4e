"""The tokenizers of the two text encoders, from any of the file forms that transformers reads."""

from kandinsky.tokenizers.clip import open_clip_tokenizer
from kandinsky.tokenizers.prompt_tokenizer import PromptTokenizer, Tokens
from kandinsky.tokenizers.xlm_roberta import open_xlm_roberta_tokenizer

__all__ = ["PromptTokenizer", "Tokens", "open_clip_tokenizer", "open_xlm_roberta_tokenizer"]
