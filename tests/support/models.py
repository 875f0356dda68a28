"""The models that were made for this course, as tests load them."""

import transformers
from transformers import AutoConfig, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from data.recipes.measure import made_here
from labs_utils.materials.catalog import checkpoint, entries

_MADE_HERE = {role: entries()["models"][role] for role in made_here()}
ADAPTERS = {role: entry for role, entry in _MADE_HERE.items() if "adapter_config.json" in entry["sha256"]}
FROM_NOTHING = [role for role in _MADE_HERE if role not in ADAPTERS]


def load(role: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The model that plays a role, of the class that its config names, and its tokenizer."""
    folder = checkpoint(role)
    model_class = getattr(transformers, AutoConfig.from_pretrained(folder).architectures[0])
    return model_class.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
