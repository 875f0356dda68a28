"""Attention maps: captured from any encoder, decoder or encoder–decoder, and drawn with no network."""

from labs_utils.attention_maps.capture import Attention, attention

__all__ = ["Attention", "attention"]
