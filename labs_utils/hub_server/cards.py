"""What a repository says about itself: the metadata of its README, and the tags and task that follow from its files."""

import functools
import json
import re

import yaml

from labs_utils.hub_server import card_rules
from labs_utils.hub_server.history import Files
from labs_utils.hub_server.store import Store

_FENCE = re.compile(r"\A\ufeff?\s*---[ \t]*\r?\n(.*?)(?:\r?\n)?^---[ \t]*\r?$", re.DOTALL | re.MULTILINE)
_LARGEST = 512 * 1024  # a card or a configuration beyond this is shown, but not read
_DEEPEST = 30
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
# The fields of a data set's card whose values become tags of the form "field:value".
_PREFIXED = ("task_categories", "task_ids", "language", "size_categories", "multilinguality", "language_creators")
# The end of an architecture's name, and the task that the Hub shows for it.
_TASKS = {
    "ForSequenceClassification": "text-classification",
    "ForTokenClassification": "token-classification",
    "ForQuestionAnswering": "question-answering",
    "ForMaskedLM": "fill-mask",
    "ForCausalLM": "text-generation",
    "LMHeadModel": "text-generation",
    "ForConditionalGeneration": "text2text-generation",
    "MTModel": "translation",
    "ForMultipleChoice": "multiple-choice",
    "ForImageClassification": "image-classification",
}


class CardError(ValueError):
    """The metadata at the top of a README can't be used; the message says why."""


def metadata(text: str) -> dict:
    """Return the metadata block of a card, `{}` without one.

    Raises:
        CardError: the block is no YAML, no mapping, or uses aliases or very deep nesting.

    >>> metadata("---\\nlicense: mit\\ntags: [course]\\n---\\n# A model")
    {'license': 'mit', 'tags': ['course']}
    """
    found = _FENCE.match(text)
    if not found or not found[1].strip():
        return {}
    try:
        _check_shape(found[1])
        loaded = yaml.load(found[1], Loader=_LOADER)
        loaded = json.loads(json.dumps(loaded, default=str))  # dates become text, keys too
    except CardError:
        raise
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        raise CardError(f"The metadata is not valid YAML: {' '.join(str(error).split())[:300]}") from None
    if loaded is None:
        return {}
    if not isinstance(loaded, dict):
        raise CardError("The metadata must be a mapping such as `license: mit`.")
    return loaded


def body(text: str) -> str:
    """A card without its metadata block.

    >>> body("---\\nlicense: mit\\n---\\n# A model")
    '# A model'
    """
    return _FENCE.sub("", text, count=1).lstrip()


def _check_shape(text: str) -> None:
    """Refuse what grows when it is expanded: aliases, and nesting without end."""
    depth = 0
    for event in yaml.parse(text, Loader=_LOADER):
        if isinstance(event, yaml.AliasEvent):
            raise CardError("The metadata uses a YAML alias (*name); write the value out.")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEEPEST:
            raise CardError(f"The metadata is nested more than {_DEEPEST} levels deep.")


def problems(text: str, kind: str) -> tuple[list[str], list[str]]:
    """Return errors and warnings about the card of a repository of this kind, as sentences."""
    try:
        return card_rules.problems(metadata(text), kind)
    except CardError as error:
        return [str(error)], []


def about(store: Store, kind: str, files: Files) -> dict:
    """What the Hub shows beside a repository: `cardData`, `tags`, and of a model its library, task and architecture."""
    card = _json_safe_card(_text(store, files, "README.md"))
    shown: dict = {"cardData": card or None, "tags": []}
    if kind == "model":
        config = _config(_text(store, files, "config.json"))
        library = card.get("library_name") or _library(files, config)
        task = card.get("pipeline_tag") or _task(config)
        shown |= {"library_name": library, "pipeline_tag": task, "config": config or None}
    shown["tags"] = _tags(kind, card, shown, files)
    return shown


def _text(store: Store, files: Files, path: str) -> str:
    entry = files.get(path)
    if entry is None or entry.size > _LARGEST:
        return ""
    return store.blobs.path(entry.sha256).read_text(encoding="utf-8", errors="replace")


@functools.lru_cache(maxsize=64)
def _parsed(text: str) -> str:
    try:
        return json.dumps(metadata(text))
    except CardError:
        return "{}"


def _json_safe_card(text: str) -> dict:
    return json.loads(_parsed(text))


def _config(text: str) -> dict:
    """The part of config.json that the Hub shows."""
    try:
        loaded = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(loaded, dict):
        return {}
    return {key: loaded[key] for key in ("architectures", "model_type") if isinstance(loaded.get(key), str | list)}


def _library(files: Files, config: dict) -> str | None:
    if "adapter_config.json" in files:
        return "peft"
    if "modules.json" in files:
        return "sentence-transformers"
    return "transformers" if config else None


def _task(config: dict) -> str | None:
    names = config.get("architectures")
    first = names[0] if isinstance(names, list) and names and isinstance(names[0], str) else ""
    return next((task for ending, task in _TASKS.items() if first.endswith(ending)), None)


def _tags(kind: str, card: dict, shown: dict, files: Files) -> list[str]:
    tags = [shown.get("library_name"), "safetensors" if any(path.endswith(".safetensors") for path in files) else None]
    tags += [shown["config"].get("model_type")] if shown.get("config") else []
    tags += [shown.get("pipeline_tag"), *_strings(card.get("tags"))]
    tags += [f"dataset:{name}" for name in _strings(card.get("datasets"))]
    tags += [f"base_model:{name}" for name in _strings(card.get("base_model"))]
    tags += [f"license:{name}" for name in _strings(card.get("license"))]
    if kind == "dataset":
        tags += [f"{field}:{value}" for field in _PREFIXED for value in _strings(card.get(field))]
    else:
        tags += _strings(card.get("language"))
    return list(dict.fromkeys(tag for tag in tags if isinstance(tag, str) and tag))


def _strings(value: object) -> list[str]:
    return [one for one in (value if isinstance(value, list) else [value]) if isinstance(one, str)]
