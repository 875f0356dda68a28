"""The small Chinese encoder reads characters."""

import torch

from tests.support.models import load


def test_the_chinese_encoder_finds_the_hidden_half_of_common_words():
    model, tokenizer = load("zh-encoder")
    asked = {
        "酒[MASK]的早餐很好。": "店",
        "我不知[MASK]。": "道",
        "房[MASK]很干净。": "间",
        "服务[MASK]很热情。": "员",
        "他喜[MASK]看书。": "欢",
    }
    hits = 0
    for text, character in asked.items():
        ids = tokenizer(text, return_tensors="pt")
        place = ids["input_ids"][0].tolist().index(tokenizer.mask_token_id)
        with torch.no_grad():
            best = model(**ids).logits[0, place].topk(5).indices.tolist()
        hits += character in tokenizer.convert_ids_to_tokens(best)
    assert hits >= 3


def test_the_chinese_vocabulary_is_one_of_characters():
    tokenizer = load("zh-encoder")[1]
    assert tokenizer.tokenize("酒店很好，WiFi快") == ["酒", "店", "很", "好", "，", "w", "##i", "##f", "##i", "快"]
