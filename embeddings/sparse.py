"""SPLADE: an encoder with its masked-LM head as sentence-transformers' SparseEncoder, at 256,000 words.

The stock modules hand logits of rows x length x words from the network to the pooling: 8.4 GB for 16 texts of 512
tokens at mmBERT's vocabulary, several times over in training. Here the network hands on its token vectors, and the
pooling computes the maxima chunk by chunk (`splade_max.py`). Same scores, same gradients, same files: what is saved
names the stock modules.

Import this file only behind `load_sparse_encoder`: it needs sentence-transformers.
"""

from typing import Any

from sentence_transformers.base.modules.transformer import Transformer
from sentence_transformers.sparse_encoder.modules import SpladePooling
from torch import Tensor

from .splade_max import max_linear, splade_scores

STOCK_MODULES = {
    "TokenVectors": "sentence_transformers.base.modules.transformer.Transformer",
    "StreamedSpladePooling": "sentence_transformers.sparse_encoder.modules.splade_pooling.SpladePooling",
}


class TokenVectors(Transformer):
    """sentence-transformers' fill-mask Transformer that stops before the head."""

    def forward(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Compute the token vectors of the encoder below the head.

        Args:
            features: `input_ids` (B, L) and `attention_mask` (B, L).
            **kwargs: What sentence-transformers passes along; not used.

        Returns:
            `features` with `token_embeddings` (B, L, h).
        """
        outputs = self.model.model(
            input_ids=features["input_ids"], attention_mask=features["attention_mask"], return_dict=True
        )
        features["token_embeddings"] = outputs.last_hidden_state
        return features


class StreamedSpladePooling(SpladePooling):
    """SpladePooling with strategy `max` that computes the logits itself, chunk by chunk.

    Args:
        network: The masked language model; its head and decoder are used.
        activation_function: `relu` or `log1p_relu`.
        chunk_size: Tokens whose logits stand in memory together; None for as many as 256 MB hold.
    """

    def __init__(self, network: Any, activation_function: Any = "relu", chunk_size: int | None = None) -> None:
        words = network.config.vocab_size
        super().__init__("max", activation_function, embedding_dimension=words, chunk_size=chunk_size)
        # in a list, so that the network stays the child of its own module alone
        self._network = [network]

    def forward(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Pool token vectors into scores of words.

        Args:
            features: `token_embeddings` (B, L, h) and `attention_mask` (B, L).
            **kwargs: What sentence-transformers passes along; not used.

        Returns:
            `features` with `sentence_embedding` (B, V).
        """
        network, mask = self._network[0], features["attention_mask"].bool()
        hidden: Tensor = network.head(features["token_embeddings"][mask])
        lengths = mask.sum(1).tolist()
        maxima = max_linear(hidden, network.decoder.weight, network.decoder.bias, lengths, self.chunk_size)
        features["sentence_embedding"] = splade_scores(maxima, self.activation_function)
        return features


def stream_vocabulary(encoder: Any) -> None:
    """Put the streamed modules under a SparseEncoder whose network is ours.

    Args:
        encoder: SparseEncoder of a fill-mask Transformer with SpladePooling.

    Raises:
        ValueError: If it pools by sum, whose gradient needs all logits.
    """
    transformer, pooling = encoder[0], encoder[1]
    if pooling.pooling_strategy != "max":
        raise ValueError(
            f"SPLADE by {pooling.pooling_strategy!r} needs all logits at once; "
            "load it with sentence_transformers.SparseEncoder, or train one with max"
        )
    transformer.__class__ = TokenVectors
    chunk_size = pooling.chunk_size if pooling.chunk_size and pooling.chunk_size > 0 else None
    encoder[1] = StreamedSpladePooling(transformer.model, pooling.activation_function, chunk_size)
