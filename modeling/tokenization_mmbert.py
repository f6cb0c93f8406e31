r"""The mmBERT tokenizer: the released layout, from a given BPE vocabulary or trained on your own text.

Layout of the released tokenizer.json (arXiv 2509.06888; shapes as mirrored by re-implementations): BPE with byte
fallback, " " written as U+2581 and one always prepended, `<bos> A <eos>` and `<bos> A <eos> B <eos>` with type ids 0,
<pad> 0, <eos> 1, <bos> 2, <unk> 3, <mask> 4. `build_tokenizer` puts the Gemma 2 vocabulary into it,
`train_tokenizer` a new one.

What this layout gives up:
- `decode` shows the prepended space (" Hello"), and a text that starts with a space reads like one that does not.
  A literal U+2581 comes back as a space. All else comes back exactly, whatever the script: bytes cover it.
- Gemma's newline runs are added tokens, and a mark is prepended after each of them: "a\nb" decodes to " a\n b".
  A trained vocabulary has no added tokens but the five special ones, so newlines and all blanks round-trip.
- A run of n spaces costs n tokens, because words are cut before every U+2581.
- `<mask>` or `<eos>` inside a text is the special token (transformers' default; `<mask>` also takes the blanks before
  it). Text from strangers wants `tokenizer(text, split_special_tokens=True)`, which reads them letter by letter.
- A string with a lone surrogate is no Unicode text: tokenizers raises a TypeError, `train_tokenizer` a ValueError.
"""

from __future__ import annotations

import hashlib
import json
import lzma
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast as _TransformersTokenizer

SPECIAL_TOKENS = ("<pad>", "<eos>", "<bos>", "<unk>", "<mask>")  # in the order of their ids, 0 to 4
BYTE_TOKENS = tuple(f"<0x{byte:02X}>" for byte in range(256))
MAX_LENGTH = 8192
SPACE = "\u2581"

# Only while training: what a merge may not cross. Newline runs, single digits, words with their accents and runs of
# signs, each with the space before it (Gemma's SentencePiece model was trained with the same cuts).
_TRAINING_CUTS = rf"\n+|\p{{N}}|{SPACE}?\p{{L}}[\p{{L}}\p{{M}}]*|{SPACE}?[^\s{SPACE}\p{{L}}\p{{N}}]+|{SPACE}|\s+"
_LONGEST_TOKEN = 16  # characters; SentencePiece's default, keeps whole repeated phrases out of the vocabulary

# The cut into words as tokenizers writes it, and the same cut as exports spell it for other engines: one fingerprint.
_OWN_CUT = f'{{"type":"Metaspace","replacement":"{SPACE}","prepend_scheme":"always","split":true}}'
_EXPORTED_CUT = (
    f'{{"type":"Sequence","pretokenizers":[{_OWN_CUT.replace("true", "false")},{{"type":"Split","pattern":{{"Regex":'
    f'"{SPACE}[^{SPACE}]*|[^{SPACE}]+"}},"behavior":"Isolated","invert":false}}]}}'
)


class PreTrainedTokenizerFast(_TransformersTokenizer):
    """transformers' fast tokenizer, saved under the name that transformers 4 and 5 both know.

    In transformers 5 the name is an alias, and the alias would be saved as "TokenizersBackend", which transformers 4
    cannot find. Nothing else differs.
    """


def train_tokenizer(
    texts: Iterable[str], vocab_size: int, *, min_frequency: int = 2, alphabet_size: int | None = None
) -> PreTrainedTokenizerFast:
    """Trains a BPE vocabulary on texts and returns it in the mmBERT layout.

    The result depends on the texts, their order aside, and on the arguments: nothing is drawn at random. All texts are
    held in memory; a few hundred MB sampled over the languages are plenty.

    Args:
        texts: The documents. Balance the languages before: a language with little text gets few words of its own.
        vocab_size: Number of ids, with 5 special tokens and 256 bytes. Short texts may yield fewer.
        min_frequency: How often a pair of pieces must occur to become a word.
        alphabet_size: How many different characters get an id of their own, the most frequent first; the bytes spell
            the others. None: a quarter of the room that is left after special tokens and bytes.

    Returns:
        The tokenizer, right padding, at most 8,192 tokens.

    Raises:
        ValueError: vocab_size has no room for bytes and letters, a text is no valid Unicode, or there is no text.
    """
    room = vocab_size - len(SPECIAL_TOKENS) - len(BYTE_TOKENS)
    if room < 2:
        raise ValueError(
            f"vocab_size is {vocab_size}, but 5 special tokens, 256 bytes and 2 letters need 263; take 8,000 or more."
        )
    documents = _checked_texts(texts)
    alphabet = _frequent_characters(documents, room // 4 if alphabet_size is None else alphabet_size, room)
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=min_frequency,
        special_tokens=[*SPECIAL_TOKENS, *BYTE_TOKENS],
        initial_alphabet=alphabet,
        limit_alphabet=len(alphabet),
        max_token_length=_LONGEST_TOKEN,
        show_progress=False,
    )
    scratch = Tokenizer(models.BPE())
    scratch.normalizer = normalizers.Replace(" ", SPACE)
    cuts = pre_tokenizers.Split(Regex(_TRAINING_CUTS), behavior="isolated")
    scratch.pre_tokenizer = pre_tokenizers.Sequence([_metaspace(), cuts])
    scratch.train_from_iterator(documents, trainer)
    # The trainer knows bytes as special tokens only; in the result they are ordinary words that text cannot call.
    learned = json.loads(scratch.to_str())["model"]
    return _assemble(learned["vocab"], learned["merges"], added_tokens=[])


def build_tokenizer(source: str | os.PathLike[str]) -> PreTrainedTokenizerFast:
    """Puts the BPE vocabulary of a tokenizer.json into the mmBERT layout, with ids as they are.

    Normalizer, pre-tokenizer, template and decoder of the source are replaced: Gemma's own differ from mmBERT's.

    Args:
        source: A tokenizer.json, a tokenizer.json.xz, a folder that has one, or a Hub id ("google/gemma-2-9b").

    Returns:
        The tokenizer, right padding, at most 8,192 tokens.

    Raises:
        ValueError: The file is no tokenizer.json, no BPE with byte tokens, or has other ids for the special tokens.
    """
    path = _find_tokenizer_file(source)
    try:
        raw = lzma.decompress(path.read_bytes()) if path.suffix == ".xz" else path.read_bytes()
        document = json.loads(raw)
        model = document["model"]
        vocab, merges, kind = model["vocab"], model["merges"], model.get("type", "BPE")
    except (lzma.LZMAError, UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is no BPE tokenizer.json ({type(error).__name__}: {error}).") from None
    if kind != "BPE" or not isinstance(vocab, Mapping):
        raise ValueError(f"{path} holds a {kind} model; the mmBERT layout needs BPE with byte tokens.")
    _check_vocabulary(vocab, path)
    return _assemble(vocab, merges, document.get("added_tokens") or [])


def save_tokenizer(tokenizer: _TransformersTokenizer, directory: str | os.PathLike[str]) -> Path:
    """Saves any fast tokenizer so that transformers 4 and 5 load it with the same ids.

    Tokenizers that `AutoTokenizer` loaded are saved by transformers 5 under a class name, and sometimes with a list
    of extra tokens, that transformers 4 cannot read; here both are written the old way, and so are the added tokens,
    without which transformers 5 reads tokenizer.json twice.

    Args:
        tokenizer: The tokenizer.
        directory: Folder for tokenizer.json and tokenizer_config.json.

    Returns:
        The folder.
    """
    folder = Path(directory)
    tokenizer.save_pretrained(folder)
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config["tokenizer_class"] = "PreTrainedTokenizerFast"
    # Where this is missing, transformers 5 parses tokenizer.json in Python for it: 1.4 of 2.4 s at 256,000 tokens.
    flags = ("content", "lstrip", "normalized", "rstrip", "single_word", "special")
    added = sorted(tokenizer.added_tokens_decoder.items())
    config["added_tokens_decoder"] = {str(i): {flag: getattr(token, flag) for flag in flags} for i, token in added}
    if isinstance(config.get("extra_special_tokens"), list):
        config["additional_special_tokens"] = config.pop("extra_special_tokens")
    path.write_text(json.dumps(config, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")
    return folder


def tokenizer_fingerprint(tokenizer: _TransformersTokenizer) -> str:
    """Sha256 of what decides the ids of a text: words, merges and layout, not padding or truncation."""
    document = tokenizer.backend_tokenizer.to_str()
    # Padding and truncation stand before, everything that decides an id from here on. Parsing the JSON of 256,000 words
    # to leave them out took 2.5 s, six times as long.
    deciding = document[document.index('"added_tokens":') :].replace(_EXPORTED_CUT, _OWN_CUT, 1)
    return hashlib.sha256(deciding.encode("utf-8", "surrogatepass")).hexdigest()


def _metaspace() -> pre_tokenizers.PreTokenizer:
    return pre_tokenizers.Metaspace(replacement=SPACE, prepend_scheme="always", split=True)


def _assemble(
    vocab: Mapping[str, int], merges: Sequence[Any], added_tokens: Sequence[Mapping[str, Any]]
) -> PreTrainedTokenizerFast:
    """The released layout around a vocabulary; added tokens keep their flags, the five special ones get mmBERT's."""
    pairs = [(left, right) for left, right in (m.split(" ") if isinstance(m, str) else m for m in merges)]
    backend = Tokenizer(models.BPE(dict(vocab), pairs, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    backend.normalizer = normalizers.Replace(" ", SPACE)
    backend.pre_tokenizer = _metaspace()
    backend.decoder = decoders.Sequence([decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse()])
    backend.post_processor = processors.TemplateProcessing(
        single="<bos> $A <eos>",
        pair="<bos> $A <eos> $B:0 <eos>",
        special_tokens=[("<bos>", vocab["<bos>"]), ("<eos>", vocab["<eos>"])],
    )
    specials = {name: AddedToken(name, lstrip=name == "<mask>", normalized=False) for name in SPECIAL_TOKENS}
    backend.add_special_tokens(list(specials.values()))
    flags = ("single_word", "lstrip", "rstrip", "normalized", "special")
    for token in sorted(added_tokens, key=lambda entry: int(entry["id"])):
        if token["content"] not in specials:
            backend.add_tokens([AddedToken(token["content"], **{flag: bool(token[flag]) for flag in flags})])
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=backend,
        pad_token=specials["<pad>"],
        eos_token=specials["<eos>"],
        bos_token=specials["<bos>"],
        unk_token=specials["<unk>"],
        mask_token=specials["<mask>"],
        cls_token=specials["<bos>"],
        sep_token=specials["<eos>"],
        model_input_names=["input_ids", "attention_mask"],
        model_max_length=MAX_LENGTH,
        padding_side="right",
        clean_up_tokenization_spaces=False,
        spaces_between_special_tokens=False,
    )


def _checked_texts(texts: Iterable[str]) -> list[str]:
    if isinstance(texts, str):
        raise ValueError("texts is one string; give a list of documents.")
    documents = []
    for number, text in enumerate(texts):
        try:
            text.encode("utf-8")
        except (UnicodeEncodeError, AttributeError):
            raise ValueError(f"text {number} is no valid Unicode string: {text!r:.60}; repair or drop it.") from None
        if text.strip():
            documents.append(text)
    if not documents:
        raise ValueError("no text to train on: texts is empty or blank; give at least one document.")
    return documents


def _frequent_characters(documents: Sequence[str], wanted: int, room: int) -> list[str]:
    """The most frequent characters, ties by code point: the trainer's own limit breaks ties at random."""
    if not 1 <= wanted <= room:
        raise ValueError(f"alphabet_size is {wanted}, but must lie between 1 and {room} for this vocab_size.")
    counts: Counter[str] = Counter()
    for text in documents:
        counts.update(text)
    counts[SPACE] += counts.pop(" ", 0) + len(documents)
    return sorted(sorted(counts, key=lambda character: (-counts[character], character))[:wanted])


def _find_tokenizer_file(source: str | os.PathLike[str]) -> Path:
    path = Path(source)
    if path.is_file():
        return path
    if path.is_dir():
        for name in ("tokenizer.json", "tokenizer.json.xz"):
            if (path / name).is_file():
                return path / name
        raise FileNotFoundError(f"the folder {path} has no tokenizer.json or tokenizer.json.xz.")
    if path.is_absolute() or path.suffix in {".json", ".xz"} or len(path.parts) > 2:
        raise FileNotFoundError(f"{path} does not exist; give a tokenizer.json, its folder or a Hub id (owner/name).")
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(str(source), "tokenizer.json"))
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise FileNotFoundError(
            f"{source!s} is no file here, and the Hub gave no tokenizer.json for it ({reason})."
            " Check the id, log in if it is gated, and unset HF_HUB_OFFLINE to go online."
        ) from None


def _check_vocabulary(vocab: Mapping[str, int], path: Path) -> None:
    for expected, name in enumerate(SPECIAL_TOKENS):
        if vocab.get(name) != expected:
            raise ValueError(f"{path}: {name} has id {vocab.get(name)}, the mmBERT layout needs {expected}.")
    # A byte below 128 is a character: Gemma has a word for the tab instead of <0x09>.
    missing = [
        name for byte, name in enumerate(BYTE_TOKENS) if name not in vocab and not (byte < 128 and chr(byte) in vocab)
    ]
    if missing:
        raise ValueError(
            f"{path}: {len(missing)} byte tokens are missing (first {missing[0]}); byte fallback needs 256."
        )
    if sorted(vocab.values()) != list(range(len(vocab))):
        raise ValueError(f"{path}: the ids of its {len(vocab)} words are not 0 to {len(vocab) - 1}, each once.")
