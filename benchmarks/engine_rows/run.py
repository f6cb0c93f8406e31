"""Runs one engine or library on the folders that `benchmarks/engines.py` made, in whatever interpreter has it.

python run.py ROW FOLDER TEXTS.json OUT.json: never imports mmbert. OUT has `versions`, and what the row gives of `ids`
(per text), `vectors` (of the first texts) and `said` (what was done beside).
"""

import importlib.metadata
import json
import sys
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[2] / "export" / "serving"))
from probe import llama_server

VECTORS = 14  # texts that are embedded
LABELLED = [("the right to rest", 0), ("free to marry", 1), ("hours of rest", 0), ("free to leave", 1)] * 4


def _torch_vectors(folder: Path, texts: list[str]) -> list[Any]:
    """Mean over tokens, length 1, on whatever transformers is here."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    found = []
    for text in texts:
        with torch.no_grad():
            states = model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0]
        found.append(torch.nn.functional.normalize(states.mean(0), dim=0).tolist())
    return found


def transformers(folder: Path, texts: list[str]) -> dict[str, Any]:
    """Ids and vectors of the exported folder, and a save that loads again."""
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder / "exported")
    AutoModel.from_pretrained(folder / "exported").save_pretrained(folder / "again")
    tokenizer.save_pretrained(folder / "again")
    return {
        "ids": [tokenizer(text)["input_ids"] for text in texts],
        "vectors": _torch_vectors(folder / "again", texts[:VECTORS]),
        "said": "saved, reloaded",
    }


def tokenizers(folder: Path, texts: list[str]) -> dict[str, Any]:
    """Ids of the Rust library."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "exported" / "tokenizer.json"))
    tokenizer.no_truncation()  # all ids are compared; those of the folder end at the longest text of the network
    return {"ids": [one.ids for one in tokenizer.encode_batch(texts)]}


def sentence_transformers(folder: Path, texts: list[str]) -> dict[str, Any]:
    """The saved embedder and its export, saved and loaded again."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(folder / "embedder"), device="cpu")
    model.save(str(folder / "again"))
    again = SentenceTransformer(str(folder / "again"), device="cpu")
    exported = SentenceTransformer(str(folder / "exported"), device="cpu").encode(texts[:2])
    assert abs(again.encode(texts[:2]) - exported).max() < 1e-5
    return {
        "vectors": again.encode(texts[:VECTORS]).tolist(),
        "said": f"saved, reloaded, {len(model.prompts)} prompts",
    }


def onnxruntime(folder: Path, texts: list[str], name: str = "onnx", file: str = "model.onnx") -> dict[str, Any]:
    """The graph as any program of ONNX Runtime runs it."""
    import numpy as np
    import onnxruntime as engine
    from tokenizers import Tokenizer

    session = engine.InferenceSession(str(folder / name / "onnx" / file), providers=["CPUExecutionProvider"])
    tokenizer = Tokenizer.from_file(str(folder / name / "tokenizer.json"))
    vectors = []
    for text in texts[:VECTORS]:
        ids = np.array([tokenizer.encode(text).ids])
        inputs = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
        vectors.append(session.run(["sentence_embedding"], inputs)[0][0].tolist())
    return {"vectors": vectors}


def fastembed(folder: Path, texts: list[str]) -> dict[str, Any]:
    """The ONNX folder as a custom model."""
    from fastembed import TextEmbedding
    from fastembed.common.model_description import ModelSource, PoolingType

    width = json.loads((folder / "onnx" / "config.json").read_text())["hidden_size"]
    TextEmbedding.add_custom_model(
        model="ours", pooling=PoolingType.MEAN, normalization=True, sources=ModelSource(hf="ours/ours"), dim=width,
        model_file="onnx/model.onnx",
    )  # fmt: skip
    model = TextEmbedding("ours", specific_model_path=str(folder / "onnx"))
    return {"vectors": [vector.tolist() for vector in model.embed(texts[:VECTORS], batch_size=1)]}


def openvino(folder: Path, texts: list[str]) -> dict[str, Any]:
    """Tokenizer as a graph, and the network's."""
    import numpy as np
    import openvino as engine
    from openvino_tokenizers import convert_tokenizer
    from transformers import AutoTokenizer

    converted = convert_tokenizer(AutoTokenizer.from_pretrained(folder / "exported"))
    converted = converted[0] if isinstance(converted, tuple) else converted
    tokenizer = engine.compile_model(converted, "CPU")
    model = engine.compile_model(str(next((folder / "openvino" / "openvino").glob("*.xml"))), "CPU",
                                 {"INFERENCE_PRECISION_HINT": "f32"})  # fmt: skip
    ids = [tokenizer([text])["input_ids"][0].tolist() for text in texts]
    vectors = []
    for row in ids[:VECTORS]:
        inputs = {"input_ids": np.array([row]), "attention_mask": np.ones((1, len(row)), np.int64)}
        vectors.append(model(inputs)["sentence_embedding"][0].tolist())
    return {"ids": ids, "vectors": vectors}


def llama_cpp(folder: Path, texts: list[str], dtype: str = "f32") -> dict[str, Any]:
    """The GGUF in llama.cpp's server."""
    ask = llama_server(folder / f"gguf-{dtype}" / f"model-{dtype}.gguf")
    made = ask("/v1/embeddings", {"input": texts[:VECTORS], "encoding_format": "float"})["data"]
    ids = [ask("/tokenize", {"content": text, "add_special": True})["tokens"] for text in texts]
    return {"ids": ids, "vectors": [one["embedding"] for one in made]}


def setfit(folder: Path, texts: list[str]) -> dict[str, Any]:
    """Train a classifier on the embedder, save, reload."""
    from datasets import Dataset
    from setfit import SetFitModel, Trainer, TrainingArguments

    rows = Dataset.from_dict({"text": [text for text, _ in LABELLED], "label": [label for _, label in LABELLED]})
    model = SetFitModel.from_pretrained(str(folder / "embedder"))
    before = model.model_body.encode(texts[:VECTORS], normalize_embeddings=True).tolist()
    arguments = TrainingArguments(str(folder / "run"), batch_size=4, max_steps=2, report_to="none")
    Trainer(model=model, args=arguments, train_dataset=rows).train()
    model.save_pretrained(str(folder / "setfit"))
    again = SetFitModel.from_pretrained(str(folder / "setfit"))
    assert list(again.predict(texts[:4])) == list(model.predict(texts[:4]))
    return {"vectors": before, "said": "trained 2 steps, saved, reloaded"}


def keybert(folder: Path, texts: list[str]) -> dict[str, Any]:
    """Key words."""
    from keybert import KeyBERT

    model = KeyBERT(model=str(folder / "embedder"))
    assert model.extract_keywords("everyone has the right to rest and leisure")
    return {"vectors": model.model.embed(texts[:VECTORS]).tolist(), "said": "extracted words"}


def bertopic(folder: Path, texts: list[str]) -> dict[str, Any]:
    """The embedding model that BERTopic makes of the folder."""
    from bertopic.backend._utils import select_backend

    model = select_backend(str(folder / "embedder"))
    return {"vectors": model.embed(texts[:VECTORS]).tolist(), "said": "its backend embeds"}


def haystack(folder: Path, texts: list[str]) -> dict[str, Any]:
    """A text embedder of a pipeline."""
    from haystack.utils import ComponentDevice
    from haystack_integrations.components.embedders.sentence_transformers import SentenceTransformersTextEmbedder

    model = SentenceTransformersTextEmbedder(model=str(folder / "embedder"), device=ComponentDevice.from_str("cpu"))
    getattr(model, "warm_up", lambda: None)()
    return {"vectors": [model.run(text)["embedding"] for text in texts[:VECTORS]]}


def langchain(folder: Path, texts: list[str]) -> dict[str, Any]:
    """Documents and a query."""
    from langchain_huggingface import HuggingFaceEmbeddings

    model = HuggingFaceEmbeddings(model_name=str(folder / "embedder"))
    return {"vectors": model.embed_documents(texts[:VECTORS]), "said": "it embeds line ends as blanks"}


def llama_index(folder: Path, texts: list[str]) -> dict[str, Any]:
    """Documents."""
    from llama_index.embeddings.huggingface import HuggingFaceEmbedding

    model = HuggingFaceEmbedding(str(folder / "embedder"), device="cpu", query_instruction="", text_instruction="")
    return {"vectors": model.get_text_embedding_batch(texts[:VECTORS])}


def txtai(folder: Path, texts: list[str]) -> dict[str, Any]:
    """An index, saved and loaded."""
    from txtai import Embeddings

    index = Embeddings(path=str(folder / "embedder"), content=False, gpu=False)
    index.index([(str(number), text, None) for number, text in enumerate(texts[:VECTORS])])
    index.save(str(folder / "txtai"))
    again = Embeddings()
    again.load(str(folder / "txtai"))
    assert again.search(texts[1], 1)[0][0] == "1"
    return {
        "vectors": again.batchtransform(texts[:VECTORS], "data").tolist(),
        "said": "indexed, saved, reloaded, found (texts as `data`: its default puts the query prompt before them)",
    }


def _stored(folder: Path, texts: list[str]) -> Any:
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(folder / "embedder"), device="cpu").encode(texts[:VECTORS])


def lancedb(folder: Path, texts: list[str]) -> dict[str, Any]:
    """A table on disk, opened again."""
    import lancedb as store

    vectors = _stored(folder, texts)
    rows = [{"vector": vector.tolist(), "number": number} for number, vector in enumerate(vectors)]
    store.connect(str(folder / "lance")).create_table("ours", rows)
    table = store.connect(str(folder / "lance")).open_table("ours")
    found = [table.search(vector.tolist()).limit(1).to_list()[0] for vector in vectors]
    return {"vectors": [row["vector"] for row in found], "said": "stored, opened again, nearest neighbour of each"}


def qdrant(folder: Path, texts: list[str]) -> dict[str, Any]:
    """A local collection, opened again."""
    from qdrant_client import QdrantClient, models

    vectors = _stored(folder, texts)
    client = QdrantClient(path=str(folder / "qdrant"))
    client.create_collection("ours", models.VectorParams(size=vectors.shape[1], distance=models.Distance.COSINE))
    client.upsert("ours", [models.PointStruct(id=n, vector=row.tolist()) for n, row in enumerate(vectors)])
    client.close()
    client = QdrantClient(path=str(folder / "qdrant"))
    found = [client.query_points("ours", row.tolist(), limit=1, with_vectors=True).points[0] for row in vectors]
    return {"vectors": [point.vector for point in found], "said": "stored, opened again, nearest neighbour of each"}


def flair(folder: Path, texts: list[str]) -> dict[str, Any]:
    """Document vectors of the exported network, saved and loaded; a tagger trained on it, saved and loaded."""
    import torch
    from flair.data import Corpus, Sentence
    from flair.datasets import FlairDatapointDataset
    from flair.embeddings import TransformerDocumentEmbeddings, TransformerWordEmbeddings
    from flair.embeddings.base import load_embeddings
    from flair.models import SequenceTagger
    from flair.trainers import ModelTrainer

    model = TransformerDocumentEmbeddings(str(folder / "exported"), layers="-1", cls_pooling="mean", fine_tune=False)
    torch.save(model.save_embeddings(use_state_dict=True), folder / "flair.pt")
    state = torch.load(folder / "flair.pt", weights_only=False)
    embeddings = load_embeddings(state)
    short = [text for text in texts[:VECTORS] if text.strip() and "  " not in text and "\n" not in text]
    sentences = [Sentence(text.split(" ")) for text in short]
    for sentence in sentences:
        embeddings.embed(sentence)
    rows = [torch.nn.functional.normalize(sentence.embedding, dim=0).tolist() for sentence in sentences]

    labelled = []
    for text, label in LABELLED:
        labelled.append(Sentence(text.split(" ")))
        labelled[-1][2:4].add_label("ner", ("RIGHT", "FREE")[label])
    data = FlairDatapointDataset(labelled)
    corpus = Corpus(train=data, dev=data, test=data)
    words = TransformerWordEmbeddings(str(folder / "exported"), fine_tune=True)
    classes = corpus.make_label_dictionary("ner", add_unk=False)
    tagger = SequenceTagger(words, classes, "ner", use_rnn=False, use_crf=False, reproject_embeddings=False)
    ModelTrainer(tagger, corpus).fine_tune(folder / "flair", learning_rate=1e-3, max_epochs=2, mini_batch_size=8)
    again = SequenceTagger.load(folder / "flair" / "final-model.pt")
    found = []
    for one in (tagger, again):
        one.predict(sentence := Sentence(LABELLED[0][0].split(" ")), return_probabilities_for_all_classes=True)
        found.append([[label.score for label in token.get_tags_proba_dist("ner")] for token in sentence])
    assert found[0] == found[1] and found[0][0]
    said = "texts without line ends, as words; saved, reloaded; a tagger trained 2 epochs, saved, reloaded, same scores"
    return {"vectors": rows, "of": [texts.index(text) for text in short], "said": said}


def gliner(folder: Path, texts: list[str]) -> dict[str, Any]:
    """A span model on the exported encoder: trained, saved, reloaded, the same scores."""
    from gliner import GLiNER, GLiNERConfig

    width = json.loads((folder / "exported" / "config.json").read_text())["hidden_size"]
    config = GLiNERConfig(model_name=str(folder / "exported"), hidden_size=width, max_width=4)
    model = GLiNER.from_config(config)
    rows = [{"tokenized_text": text.split(" "), "ner": [[2, 3, "right"]]} for text, _ in LABELLED]
    model.train_model(
        rows, rows, output_dir=folder / "run", max_steps=2, use_cpu=True, dataloader_num_workers=0, save_steps=100
    )
    model.save_pretrained(str(folder / "gliner"))
    again = GLiNER.from_pretrained(str(folder / "gliner"), local_files_only=True)
    ask = {"labels": ["person", "place"], "threshold": 0.0}
    one, two = (m.eval().predict_entities("Ada lives in Paris", **ask) for m in (model, again))
    assert one and [row["score"] for row in one] == [row["score"] for row in two]
    return {"said": f"trained 2 steps, saved, reloaded, {len(one)} spans with the same scores"}


def pylate(folder: Path, texts: list[str]) -> dict[str, Any]:
    """ColBERT on the embedder: trained, saved, reloaded, the same vectors; passages found by its PLAID index."""
    import numpy as np
    import torch
    from datasets import Dataset
    from pylate import indexes, losses, models, retrieve, utils
    from sentence_transformers import SentenceTransformerTrainer, SentenceTransformerTrainingArguments

    torch.manual_seed(0)  # its linear layer is new
    model = models.ColBERT(str(folder / "embedder"), device="cpu", embedding_size=32)
    rest, free = ([text for text, label in LABELLED if label == kind] for kind in (0, 1))
    rows = Dataset.from_dict({"query": rest, "positive": rest[::-1], "negative": free})
    arguments = SentenceTransformerTrainingArguments(
        str(folder / "run"), max_steps=2, per_device_train_batch_size=4, report_to="none", use_cpu=True
    )
    SentenceTransformerTrainer(
        model=model, args=arguments, train_dataset=rows, loss=losses.Contrastive(model=model),
        data_collator=utils.ColBERTCollator(model.tokenize),
    ).train()  # fmt: skip
    model.save_pretrained(str(folder / "again"))
    again = models.ColBERT(str(folder / "again"), device="cpu")
    known = texts[: VECTORS - 1]  # the last holds others of them
    passages, expected = (one.encode(known, is_query=False) for one in (again, model))
    assert max(np.abs(a - b).max() for a, b in zip(passages, expected, strict=True)) < 1e-5
    index = indexes.PLAID(str(folder / "run"), "plaid", override=True, device="cpu")
    numbers = [str(number) for number in range(len(known))]
    index.add_documents(documents_ids=numbers, documents_embeddings=passages)
    asked = again.encode(texts[:3], is_query=True)
    found = retrieve.ColBERT(index=index).retrieve(queries_embeddings=asked, k=3, device="cpu")
    exact = [max(numbers, key=lambda n: (one @ passages[int(n)].T).max(1).sum()) for one in asked]
    assert [row[0]["id"] for row in found] == exact, (found, exact)
    return {"said": "trained 2 steps, saved, reloaded, the same vectors; its index finds the best by MaxSim"}


def candding(folder: Path, texts: list[str]) -> dict[str, Any]:
    """The exported embedder in Rust, on candle."""
    from candding import TextEmbedding

    model = TextEmbedding(str(folder / "exported"), device="cpu", dtype="f32")
    return {"vectors": [model.embed([text])[0].tolist() for text in texts[:VECTORS]]}


ROWS = {
    "tokenizers": (tokenizers, ("tokenizers",)),
    "transformers": (transformers, ("transformers",)),
    "sentence-transformers": (sentence_transformers, ("sentence-transformers", "transformers")),
    "onnxruntime": (onnxruntime, ("onnxruntime",)),
    "onnxruntime fp16": (lambda *a: onnxruntime(*a, "onnx-fp16", "model_fp16.onnx"), ("onnxruntime",)),
    "onnxruntime int8": (lambda *a: onnxruntime(*a, "onnx-int8", "model_quantized.onnx"), ("onnxruntime",)),
    "onnxruntime q4": (lambda *a: onnxruntime(*a, "onnx-q4", "model_q4.onnx"), ("onnxruntime",)),
    "fastembed": (fastembed, ("fastembed", "onnxruntime")),
    "openvino": (openvino, ("openvino", "openvino-tokenizers")),
    "llama.cpp f32": (llama_cpp, ("xllamacpp",)),
    "llama.cpp q8_0": (lambda *a: llama_cpp(*a, "q8_0"), ("xllamacpp",)),
    "SetFit": (setfit, ("setfit", "sentence-transformers")),
    "KeyBERT": (keybert, ("keybert",)),
    "BERTopic": (bertopic, ("bertopic",)),
    "haystack": (haystack, ("haystack-ai", "sentence-transformers-haystack")),
    "langchain": (langchain, ("langchain-huggingface", "sentence-transformers")),
    "llama-index": (llama_index, ("llama-index-embeddings-huggingface",)),
    "txtai": (txtai, ("txtai",)),
    "LanceDB": (lancedb, ("lancedb",)),
    "Qdrant local": (qdrant, ("qdrant-client",)),
    "candle": (candding, ("candding",)),
    "PyLate": (pylate, ("pylate", "fast-plaid", "sentence-transformers", "torch")),
    "Flair": (flair, ("flair", "transformers")),
    "GLiNER": (gliner, ("gliner", "transformers")),
}


def main(row: str, folder: str, texts: str, out: str) -> None:
    """Run a row."""
    sys.modules["mmbert"] = None  # type: ignore[assignment]  # importing it now raises, as where it is not installed
    program, packages = ROWS[row]
    found = program(Path(folder), json.loads(Path(texts).read_text(encoding="utf-8")))
    found["versions"] = [f"{name} {importlib.metadata.version(name)}" for name in packages]
    Path(out).write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:5])
