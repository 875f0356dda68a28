# %% [markdown]
# # 04 Tokenizers
# Promise.

# %%
import labs_utils as lab
lab.start("04")

# %%
from transformers import AutoTokenizer
encoder = lab.checkpoint("encoder")
tokenizer = AutoTokenizer.from_pretrained(encoder, revision=encoder.revision)
tokenizer("hello world!")["input_ids"]

# %% tags=["exercise"]
def merge_pair(word: list[str], pair: tuple[str, str]) -> list[str]:
    """Replace each neighbouring `pair` in `word` by its concatenation, left to right."""
    # BEGIN SOLUTION
    return word
    # END SOLUTION

# %% tags=["exercise"]
n = len(tokenizer)  # SOLUTION
