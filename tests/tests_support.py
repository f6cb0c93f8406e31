"""What tests share without a fixture: sentences in five languages and three scripts, and a recipe over them."""

import random

from mmbert.data import Document

# Words of five languages; sentences are drawn from them, so that a language can be learned and told from another.
WORDS = {
    "eng_Latn": "the house stands near a river and every morning people cross the old bridge to work".split(),
    "deu_Latn": "das Haus steht nahe am Fluss und jeden Morgen gehen Leute über die alte Brücke zur Arbeit".split(),
    "rus_Cyrl": "дом стоит у реки и каждое утро люди идут через старый мост на работу в город".split(),
    "ell_Grek": "το σπίτι είναι κοντά στο ποτάμι και κάθε πρωί οι άνθρωποι περνούν την παλιά γέφυρα".split(),
    "fao_Latn": "húsið stendur við ána og hvønn morgun fara fólk um gomlu brúnna til arbeiðis í býnum".split(),
}
SIZES = {"eng_Latn": 400, "deu_Latn": 200, "rus_Cyrl": 200, "ell_Grek": 80, "fao_Latn": 20}


def sentences(language: str, count: int, seed: int = 0) -> list[str]:
    """Return sentences of 4 to 14 words."""
    draw = random.Random(f"{language}/{seed}")
    return [" ".join(draw.choices(WORDS[language], k=draw.randint(4, 14))) for _ in range(count)]


def documents(seed: int = 0, scale: float = 1.0) -> list[Document]:
    """Return documents of all languages, mixed."""
    found = [
        Document(language, text, "words")
        for language, count in SIZES.items()
        for text in sentences(language, max(2, int(count * scale)), seed)
    ]
    random.Random(seed).shuffle(found)
    return found


TINY_RECIPE = """
name: tiny
seed: 7
model: {size: small, hidden_size: 32, intermediate_size: 48, num_hidden_layers: 4, num_attention_heads: 2}
phases:
  - name: pretrain
    languages: [eng_Latn, deu_Latn]
    temperature: 0.7
    masking_ratio: 0.3
    context_length: 32
    rope_theta: 10000
    tokens: 4096
    batch_rows: 16
    learning_rate: 2e-3
    warmup_tokens: 1024
  - name: midtrain
    languages: {add: [rus_Cyrl]}
    temperature: 0.5
    masking_ratio: 0.15
    context_length: 64
    rope_theta: 160000
    tokens: 4096
    batch_rows: 8
  - name: decay
    languages: all
    temperature: 0.3
    masking_ratio: 0.05
    tokens: 4096
    decay: 1-sqrt
variants:
  decay-eng: {languages: {add: []}, shares: {eng_Latn: 0.5}}
  decay-all: {}
"""
