"""What the Hub asks of a card's metadata: known licences and languages, and the right kind of value in each field."""

import re
import tomllib
from pathlib import Path

from labs_utils.storage import read_text

_WORDS = tomllib.loads(read_text(Path(__file__).with_name("card_words.toml")))
_LICENCES, _LANGUAGES, _SPECIAL_LANGUAGES, _COLOURS, _SDKS = (
    _WORDS[kind].split() for kind in ("licences", "languages", "special_languages", "colours", "sdks")
)
_REPOSITORY = re.compile(r"[\w.-]+(/[\w.-]+)?")

_TEXT, _LIST, _TEXTS, _MAPPING, _FLAG = (
    "a string",
    "an array",
    "a string or an array of strings",
    "an object",
    "a boolean",
)
_FIELDS = {
    "license": _TEXTS, "license_name": _TEXT, "license_link": _TEXT, "language": _TEXTS, "tags": _LIST,
    "datasets": _TEXTS, "metrics": _TEXTS, "library_name": _TEXT, "pipeline_tag": _TEXT, "base_model": _TEXTS,
    "base_model_relation": _TEXT, "thumbnail": _TEXT, "widget": _LIST, "model-index": _LIST, "pretty_name": _TEXT,
    "task_categories": _TEXTS, "task_ids": _TEXTS, "size_categories": _TEXTS, "multilinguality": _TEXTS,
    "annotations_creators": _TEXTS, "language_creators": _TEXTS, "source_datasets": _TEXTS, "configs": _LIST,
    "title": _TEXT, "emoji": _TEXT, "colorFrom": _TEXT, "colorTo": _TEXT, "sdk": _TEXT, "pinned": _FLAG,
    "models": _LIST, "short_description": _TEXT, "extra_gated_prompt": _TEXT, "extra_gated_fields": _MAPPING,
    "viewer": _FLAG,
}  # fmt: skip


def problems(card: dict, kind: str) -> tuple[list[str], list[str]]:
    """Return errors and warnings about a card's metadata, as the Hub words them.

    >>> problems({"license": "mit", "tags": "course"}, "model")
    (['"tags" must be an array'], [])
    """
    if not card:
        return [], ["empty or missing yaml metadata in repo card"]
    errors = [error for field, value in card.items() if (error := _wrong_kind(field, value))]
    for field, check in (("license", _licence), ("language", _language), ("base_model", _repository)):
        if _is_kind(card.get(field), _TEXTS):
            errors += [error for value in _all(card[field]) if (error := check(field, value))]
    if isinstance(card.get("model-index"), list):
        errors += _model_index(card["model-index"])
    if kind == "space":
        errors += _space(card)
    return errors, []


def _is_kind(value: object, kind: str) -> bool:
    return {
        _TEXT: isinstance(value, str),
        _LIST: isinstance(value, list),
        _TEXTS: isinstance(value, str) or (isinstance(value, list) and all(isinstance(one, str) for one in value)),
        _MAPPING: isinstance(value, dict),
        _FLAG: isinstance(value, bool),
    }[kind]


def _wrong_kind(field: str, value: object) -> str | None:
    """What is wrong with the kind of a value. YAML reads some words as something else than text."""
    kind = _FIELDS.get(field)
    if kind is None or value is None or _is_kind(value, kind):
        return None
    odd = next((one for one in _all(value) if not isinstance(one, str)), None)
    if kind in (_TEXT, _TEXTS) and isinstance(odd, bool):
        words = "`yes`, `on` and `true`" if odd else "`no`, `off` and `false`"
        example = "no" if field == "language" and not odd else "…"
        return f'"{field}" must be {kind}: YAML reads {words} without quotes as a boolean; write "{example}" in quotes'
    if kind in (_TEXT, _TEXTS) and isinstance(odd, int | float):
        return f'"{field}" must be {kind}: YAML reads {odd} without quotes as a number; write "{odd}" in quotes'
    return f'"{field}" must be {kind}'


def _all(value: object) -> list:
    return value if isinstance(value, list) else [value]


def _licence(field: str, value: str) -> str | None:
    if value in _LICENCES:
        return None
    near = next((one for one in sorted(_LICENCES) if value.lower().replace(" ", "-") in (one, one.split("-")[0])), None)
    hint = f" Perhaps you mean {near}." if near else ""
    return (
        f'"{field}" must be one of the identifiers at https://huggingface.co/docs/hub/repositories-licenses, and '
        f'"{value[:60]}" is none.{hint} For another licence, write other, and its name as license_name'
    )


def _language(field: str, value: str) -> str | None:
    if value in _LANGUAGES or value in _SPECIAL_LANGUAGES or re.fullmatch("[a-z]{3}", value):
        return None
    if value != value.lower():
        return f'"{field}" must only contain lowercase characters, and "{value[:60]}" has others'
    return (
        f'"{field}" with value "{value[:60]}" is not valid. It must be an ISO 639-1, 639-2 or 639-3 code (two/three '
        "letters), or a special value like code, multilingual. BCP-47 identifiers go into language_bcp47"
    )


def _repository(field: str, value: str) -> str | None:
    if _REPOSITORY.fullmatch(value):
        return None
    return f'"{field}" with value "{value[:60]}" is not valid. Use a model id such as owner/name'


def _model_index(listed: list) -> list[str]:
    """What is wrong with the results of a model, as `EvalResult` writes them."""
    errors = []
    for number, model in enumerate(listed):
        at = f"model-index[{number}]"
        if not isinstance(model, dict):
            errors.append(f'"{at}" must be an object')
            continue
        if not isinstance(model.get("name"), str):
            errors.append(f'"{at}.name" is required, and must be a string')
        if not isinstance(model.get("results"), list):
            errors.append(f'"{at}.results" is required, and must be an array')
            continue
        for place, result in enumerate(model["results"]):
            errors += _result(f"{at}.results[{place}]", result)
    return errors


def _result(at: str, result: object) -> list[str]:
    if not isinstance(result, dict):
        return [f'"{at}" must be an object']
    errors = []
    for field in ("task", "dataset"):
        part = result.get(field, {} if field == "dataset" else None)
        if not isinstance(part, dict) or (field == "task" and not isinstance(part.get("type"), str)):
            errors.append(f'"{at}.{field}" must be an object with a type')
    metrics = result.get("metrics")
    if not isinstance(metrics, list):
        return [*errors, f'"{at}.metrics" is required, and must be an array']
    for number, metric in enumerate(metrics):
        if not isinstance(metric, dict) or not isinstance(metric.get("type"), str) or "value" not in metric:
            errors.append(f'"{at}.metrics[{number}]" must be an object with a type and a value')
    return errors


def _space(card: dict) -> list[str]:
    errors = []
    if card.get("sdk") not in _SDKS:
        errors.append('"sdk" is required, and must be one of [gradio, docker, static]')
    for field in ("colorFrom", "colorTo"):
        if field in card and card[field] not in _COLOURS:
            errors.append(f'"{field}" must be one of [{", ".join(_COLOURS)}]')
    if isinstance(card.get("short_description"), str) and len(card["short_description"]) > 60:
        errors.append('"short_description" length must be less than or equal to 60 characters long')
    return errors
