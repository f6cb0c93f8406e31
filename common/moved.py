"""Old import paths that work for one version more, with one warning that names the new path.

Removed in 0.3. The user's side of these tables is docs/migration.md.
"""

import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

# Modules of 0.1 and where their content is now, below the package.
MODULES = {
    "cli.bench": "cli.checkpoints.bench",
    "cli.card": "cli.checkpoints.card",
    "cli.demo": "cli.training.demo",
    "cli.doctor": "cli.checkpoints.doctor",
    "cli.embed": "cli.text.embed",
    "cli.evaluate": "cli.training.evaluate",
    "cli.export": "cli.checkpoints.export",
    "cli.merge": "cli.checkpoints.merge",
    "cli.push": "cli.checkpoints.push",
    "cli.recipe": "cli.text.recipe",
    "cli.search": "cli.text.search",
    "cli.tokenize": "cli.text.tokenize",
    "cli.trim": "cli.checkpoints.trim",
    "callbacks.language_report_files": "callbacks.language_report",
    "callbacks.matrix_rate": "callbacks.throughput",
    "callbacks.progress": "callbacks.throughput",
    "data.answers": "data.features.answers",
    "data.bundles": "data.tokenization.intermediate",
    "data.catalogues": "data.corpora.demo",
    "data.chunks": "data.pretraining.spans",
    "data.collator": "data.pretraining.collator",
    "data.conll": "data.tables.conll",
    "data.corpus": "data.corpora.base",
    "data.document_tokenizer": "data.tokenization.document_tokenizer",
    "data.duplicates": "data.tokenization.writer",
    "data.epoch_cap": "data.pretraining.epoch_cap",
    "data.feeds": "data.tokenization.source",
    "data.files": "data.corpora.files",
    "data.gettext_files": "data.corpora.gettext_files",
    "data.heldout": "data.pretraining.heldout",
    "data.hub": "data.corpora.hub",
    "data.labelled": "data.labelled.read",
    "data.labelled_columns": "data.labelled.columns",
    "data.labelled_files": "data.tables.read",
    "data.labelled_hub": "data.tables.hub",
    "data.labelled_sources": "tasks.cli",
    "data.languages": "languages.tags",
    "data.masking": "data.pretraining.masking",
    "data.mds": "data.corpora.mds",
    "data.mds_feed": "data.tokenization.mds_source",
    "data.mixture": "languages.mixture",
    "data.official_mixture": "data.pretraining.published_counts",
    "data.opening": "data.corpora.open",
    "data.parts": "data.tokenization.workdir",
    "data.passage_rows": "data.features.passage_rows",
    "data.passages": "data.features.passages",
    "data.permutation": "data.hashing",
    "data.phase_reader": "data.pretraining.sampler",
    "data.preparation": "data.tokenization.recipe_data",
    "data.python_source": "data.corpora.demo",
    "data.readers": "data.corpora.readers",
    "data.rows": "data.corpora.rows",
    "data.running_text": "data.features.running_text",
    "data.scripts": "languages.scripts",
    "data.shard_writer": "data.tokenization.writer",
    "data.shards_feed": "data.tokenization.shard_source",
    "data.slices": "data.tables.files",
    "data.stream": "data.pretraining.dataset",
    "data.text_features": "data.features.texts",
    "data.tokenization": "data.tokenization.pipeline",
    "data.tokenize_progress": "data.tokenization.workers",
    "data.tokenized_folder": "data.tokenization.recipe_data",
    "data.unit_tokenizer": "data.tokenization.workers",
    "data.unit_workers": "data.tokenization.workers",
    "data.verification": "data.shards",
    "data.windows": "data.features.windows",
    "data.word_borders": "data.features.words",
    "data.word_labels": "data.features.word_labels",
    "data.word_rows": "data.features.word_rows",
    "data.words": "data.features.words",
    "data.work_folder": "data.tokenization.workdir",
    "data.write_chunks": "data.tokenization.writer",
    "embeddings.alignment": "embeddings.training.alignment",
    "embeddings.balanced_batches": "embeddings.training.language_sampler",
    "embeddings.checkpoints": "embeddings.encoding.backend",
    "embeddings.crops": "embeddings.pairs.random_crops",
    "embeddings.documents": "embeddings.search.documents",
    "embeddings.embedder": "embeddings.encoding.sentence_transformers_model",
    "embeddings.encoding_progress": "embeddings.encoding.progress",
    "embeddings.exported_encoder": "embeddings.encoding.exported_encoder",
    "embeddings.fingerprint": "embeddings.encoding.fingerprint",
    "embeddings.index": "embeddings.search.index",
    "embeddings.index_content": "embeddings.search.store",
    "embeddings.index_manifest": "embeddings.search.store",
    "embeddings.index_model": "embeddings.search.model",
    "embeddings.index_news": "embeddings.search.diff",
    "embeddings.index_part": "embeddings.search.store",
    "embeddings.index_reading": "embeddings.search.index",
    "embeddings.index_search": "embeddings.search.hits",
    "embeddings.loader": "embeddings.encoding.load",
    "embeddings.nearest": "embeddings.search.nearest",
    "embeddings.negatives": "embeddings.training.hard_negatives",
    "embeddings.objectives": "embeddings.training.losses",
    "embeddings.pair_reading": "embeddings.pairs.cleaning",
    "embeddings.pair_sources": "embeddings.pairs.sources",
    "embeddings.pair_tables": "embeddings.pairs.sources",
    "embeddings.pairs": "embeddings.pairs.pair_set",
    "embeddings.passages": "embeddings.search.passages",
    "embeddings.presets": "embeddings.training.presets",
    "embeddings.retriever_training": "embeddings.training.retrievers",
    "embeddings.retrievers": "embeddings.retrievers.load",
    "embeddings.saving": "embeddings.encoding.sentence_transformers_model",
    "embeddings.settings": "embeddings.encoding.load",
    "embeddings.sparse": "embeddings.retrievers.splade",
    "embeddings.splade_max": "embeddings.retrievers.splade",
    "embeddings.streaming": "embeddings.encoding.to_file",
    "embeddings.token_batches": "embeddings.encoding.batching",
    "embeddings.training": "embeddings.training.embedder",
    "embeddings.training_options": "embeddings.training.options",
    "embeddings.training_record": "embeddings.training.run",
    "embeddings.training_report": "embeddings.training.run",
    "embeddings.training_run": "embeddings.training.run",
    "embeddings.unpadded_encoding": "embeddings.encoding.packed",
    "embeddings.vector_file": "embeddings.encoding.to_file",
    "embeddings.vectors": "embeddings.encoding.vectors",
    "embeddings.writer_lock": "common.locks",
    "evaluation.answering": "tasks.question_answering",
    "evaluation.bitext": "evaluation.embeddings.bitext",
    "evaluation.choice_labels": "tasks.multiple_choice",
    "evaluation.classification": "tasks.text_classification",
    "evaluation.classification_scores": "tasks.text_classification",
    "evaluation.copies": "tasks.training",
    "evaluation.efficiency": "evaluation.efficiency.measurement",
    "evaluation.efficiency_contestants": "evaluation.efficiency.models",
    "evaluation.efficiency_flops": "evaluation.efficiency.flops",
    "evaluation.efficiency_memory": "evaluation.efficiency.memory",
    "evaluation.efficiency_picture": "model_cards.plots.efficiency",
    "evaluation.efficiency_progress": "common.progress",
    "evaluation.efficiency_report": "evaluation.efficiency.report",
    "evaluation.efficiency_settings": "evaluation.efficiency.settings",
    "evaluation.efficiency_timing": "evaluation.efficiency.timing",
    "evaluation.embedding_judging": "evaluation.embeddings.evaluate",
    "evaluation.embeddings.judging": "evaluation.embeddings.evaluate",
    "evaluation.embedding_tasks": "evaluation.embeddings.tasks",
    "evaluation.fine_tuning_script": "tasks.cli",
    "evaluation.heads": "tasks.base",
    "evaluation.heads_texts": "tasks.text_classification",
    "evaluation.heads_words": "tasks.token_classification",
    "evaluation.knn": "evaluation.embeddings.knn",
    "evaluation.language_table": "tasks.language_scores",
    "evaluation.learning": "evaluation.benchmark.run_task",
    "evaluation.metrics": "tasks.metrics.classification",
    "evaluation.metrics_answers": "tasks.metrics.question_answering",
    "evaluation.mteb_tasks": "evaluation.embeddings.mteb_tasks",
    "evaluation.multiple_choice": "tasks.multiple_choice",
    "evaluation.protocol": "evaluation.benchmark.sweep",
    "evaluation.ranking": "tasks.metrics.ranking",
    "evaluation.report": "evaluation.benchmark.report",
    "evaluation.report_picture": "model_cards.plots.benchmark",
    "evaluation.report_tables": "evaluation.benchmark.report_tables",
    "evaluation.retrieval": "evaluation.embeddings.retrieval",
    "evaluation.retrieval_sets": "evaluation.embeddings.retrieval_sets",
    "evaluation.runner": "evaluation.benchmark.runner",
    "evaluation.runner_clock": "evaluation.benchmark.clock",
    "evaluation.runner_progress": "common.progress",
    "evaluation.runner_workers": "evaluation.benchmark.workers",
    "evaluation.runs": "evaluation.benchmark.records",
    "evaluation.seeds": "tasks.training",
    "evaluation.sts": "evaluation.embeddings.sts",
    "evaluation.tagging": "tasks.token_classification",
    "evaluation.tasks": "evaluation.benchmark.catalogue",
    "evaluation.tasks.catalogue": "evaluation.benchmark.catalogue.catalogue",
    "evaluation.tasks.published": "evaluation.benchmark.catalogue.published",
    "evaluation.tasks.row_checks": "evaluation.benchmark.catalogue.row_checks",
    "evaluation.tasks.rows": "evaluation.benchmark.catalogue.rows",
    "evaluation.tasks.task": "evaluation.benchmark.catalogue.task",
    "evaluation.vectors_of_texts": "evaluation.embeddings.vectors",
    "export.common_words": "export.vocabulary.word_lists",
    "export.composer": "export.modernbert.composer",
    "export.composer_run": "export.modernbert.composer",
    "export.coverage": "export.vocabulary.report",
    "export.embedding_head": "export.graphs.pooling_head",
    "export.exported_folder": "export.graphs.folder",
    "export.hub": "export.hub.upload",
    "export.modernbert": "export.modernbert.convert",
    "export.modules": "export.modernbert.st_modules",
    "export.network": "export.graphs.plan",
    "export.onnx": "export.graphs.onnx",
    "export.openvino": "export.graphs.openvino",
    "export.parity": "export.graphs.parity",
    "export.publication": "export.hub.assemble",
    "export.quantisation": "export.graphs.quantization",
    "export.remote_code": "export.modernbert.remote_code",
    "export.runtime": "export.graphs.runtime",
    "export.self_test": "export.modernbert.self_test",
    "export.serving": "export.serving.check",
    "export.serving_probe": "export.serving.probe",
    "export.serving_run": "export.serving.run",
    "export.text_counts": "export.vocabulary.counts",
    "export.token_ranking": "export.vocabulary.ranking",
    "export.token_scripts": "languages.scripts",
    "export.traceable": "export.graphs.traceable",
    "export.trim_report": "export.vocabulary.report",
    "export.trimmed_files": "export.vocabulary.files",
    "export.trimming": "export.vocabulary.trim",
    "export.vocabulary": "export.vocabulary.bpe",
    "model_cards.canvas": "model_cards.plots.style",
    "model_cards.card": "model_cards.cards.pretraining",
    "model_cards.embedding_scores": "model_cards.cards.embedding_scores",
    "model_cards.evaluation": "model_cards.cards.evaluation",
    "model_cards.fine_tune_card": "model_cards.cards.finetuning",
    "model_cards.language_pictures": "model_cards.plots.pretraining",
    "model_cards.merge_card": "model_cards.cards.merge",
    "model_cards.metadata": "model_cards.cards.metadata",
    "model_cards.pictures": "model_cards.plots.pretraining",
    "model_cards.plain_card": "model_cards.cards.minimal",
    "model_cards.plan_picture": "model_cards.plots.plan",
    "model_cards.report_picture": "model_cards.plots.languages",
    "model_cards.score_picture": "model_cards.plots.scores",
    "model_cards.tables": "model_cards.markdown",
    "modeling.axis_maps": "modeling.resize",
    "modeling.checkpoint": "common.checkpoints.reader",
    "modeling.checkpoint_files": "common.checkpoints.format",
    "modeling.checkpoint_writer": "common.checkpoints.writer",
    "modeling.gated_activation": "modeling.geglu",
    "modeling.heads": "modeling.modeling_mmbert",
    "modeling.local_attention": "modeling.sliding_attention",
    "modeling.masked_lm": "modeling.modeling_mmbert",
    "modeling.pretrained": "modeling.modeling_mmbert",
    "modeling.scratch": "modeling.buffers",
    "modeling.sharing": "modeling.from_modernbert",
    "modeling.tiled_attention": "modeling.cpu_attention",
    "modeling.tiled_products": "modeling.cpu_attention",
    "modeling.tokenizer": "modeling.tokenization_mmbert",
    "modeling.warm_start": "modeling.resize",
    "recipes.data_source": "recipes.data_plan",
    "recipes.road": "recipes.training_schedule",
    "recipes.yaml_lines": "recipes.extending",
    "trainers.arguments": "trainers.pretraining.args",
    "trainers.checkpointing": "trainers.checkpointing.trainer",
    "trainers.checkpoints": "trainers.checkpointing.paths",
    "trainers.class_weights": "trainers.finetuning.class_weights",
    "trainers.epoch_order": "trainers.finetuning.trainer",
    "trainers.finetuning": "trainers.finetuning.run",
    "trainers.finetuning_arguments": "trainers.finetuning.config",
    "trainers.finetuning_checkpoints": "trainers.finetuning.trainer",
    "trainers.finetuning_command": "trainers.finetuning.config",
    "trainers.finetuning_identity": "trainers.finetuning.previous_run",
    "trainers.finetuning_model": "trainers.finetuning.model",
    "trainers.finetuning_options": "trainers.finetuning.config",
    "trainers.finetuning_saving": "trainers.finetuning.output",
    "trainers.finetuning_scores": "trainers.finetuning.run",
    "trainers.finetuning_trainer": "trainers.finetuning.trainer",
    "trainers.language_loss": "trainers.pretraining.eval_loss",
    "trainers.layer_rates": "trainers.finetuning.layerwise_lr",
    "trainers.ledger": "trainers.pretraining.token_counter",
    "trainers.mlm": "trainers.pretraining.trainer",
    "trainers.optimizer": "trainers.pretraining.optimizer",
    "trainers.publishing": "trainers.checkpointing.trainer",
    "trainers.recipe_run": "trainers.pretraining.run",
    "trainers.record": "trainers.pretraining.record",
    "trainers.run_identity": "trainers.pretraining.run_fingerprint",
    "trainers.sharding": "trainers.checkpointing.fsdp",
    "trainers.starting": "trainers.pretraining.model_init",
    "trainers.tags": "trainers.checkpointing.paths",
    "trainers.training_state": "trainers.checkpointing.state",
    "trainers.witness": "trainers.pretraining.trainer",
    "trainers.witnessed": "trainers.pretraining.trainer",
}

# Public names of a folder of 0.1 that have another name now, or that another folder exports.
NAMES = {
    "callbacks.ProgressCallback": "callbacks.ThroughputCallback",
    "data.LabelledSources": "tasks.LabelledSources",
    "data.LanguageMixture": "languages.LanguageMixture",
    "data.check_languages": "languages.check_languages",
    "data.entry_phase": "languages.entry_phase",
    "data.published_token_counts": "languages.published_token_counts",
    "evaluation.ChoiceOptions": "tasks.ChoiceOptions",
    "evaluation.PassageOptions": "tasks.PassageOptions",
    "evaluation.TagOptions": "tasks.TagOptions",
    "evaluation.TextOptions": "tasks.TextOptions",
    "evaluation.fine_tune_answerer": "tasks.fine_tune_answerer",
    "evaluation.fine_tune_chooser": "tasks.fine_tune_chooser",
    "evaluation.fine_tune_classifier": "tasks.fine_tune_classifier",
    "evaluation.fine_tune_tagger": "tasks.fine_tune_tagger",
    "evaluation.judge_embedder": "evaluation.evaluate_embedder",
    "evaluation.language_table": "tasks.language_table",
    "evaluation.run_fine_tuning": "tasks.run_fine_tuning",
    "evaluation.table_lines": "tasks.table_lines",
    "evaluation.write_language_table": "tasks.write_language_table",
    "recipes.Road": "recipes.TrainingSchedule",
    "recipes.Stretch": "recipes.ScheduledPhase",
}

# Names that have changed inside a module, for who imports them by the module's old path.
RENAMED = {
    "data.tokenization.intermediate": {"FinishedUnit": "FinishedTask"},
    "data.tokenization.mds_source": {"MdsFeed": "MdsRowSource"},
    "data.tokenization.pipeline": {"tokenize_feeds": "tokenize_sources"},
    "data.tokenization.shard_source": {"ShardsFeed": "ShardRowSource"},
    "data.tokenization.source": {
        "Feed": "RowSource",
        "FileFeed": "FileRowSource",
        "HubFeed": "HubRowSource",
        "WorkUnit": "ShardTask",
    },
    "evaluation.embeddings.evaluate": {"judge_embedder": "evaluate_embedder"},
    "callbacks.throughput": {"ProgressCallback": "ThroughputCallback"},
    "recipes.training_schedule": {"Road": "TrainingSchedule", "Stretch": "ScheduledPhase"},
    "trainers.pretraining.token_counter": {"Ledger": "TokenCounter"},
    "trainers.pretraining.trainer": {"Witness": "BatchMetadata", "WitnessCollator": "BatchMetadataCollator"},
}

# Modules that left the package.
GONE = {"evaluation.efficiency_targets": "benchmarks/targets.py, outside the installed package"}

_ROOT = __name__.split(".")[0]


def _warn(old: str, new: str) -> None:
    warnings.warn(f"{old} is now {new}; the old name goes in mmbert 0.3", FutureWarning, stacklevel=4)


def find_moved(package: str, name: str) -> Any:
    """The value that `package` no longer exports itself, from its new home, with a warning."""
    inside = package.partition(".")[2]
    new = NAMES.get(f"{inside}.{name}")
    if new:
        folder, _, new_name = new.rpartition(".")
        value = getattr(import_module(f"{_ROOT}.{folder}"), new_name)
    elif inside in MODULES and not name.startswith("__"):  # a module of 0.1 whose name is a folder now
        new = f"{MODULES[inside]}.{name}"
        try:
            value = getattr(import_module(f"{_ROOT}.{MODULES[inside]}"), name)
        except AttributeError:
            raise AttributeError(f"module {package!r} has no attribute {name!r}") from None
    else:
        raise AttributeError(f"module {package!r} has no attribute {name!r}")
    _warn(f"{package}.{name}", f"{_ROOT}.{new}")
    return value


class _SameModule(Loader):
    """Gives the module of another name as it is."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._spec: ModuleSpec | None = None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = import_module(self._name)
        for old, new in RENAMED.get(self._name.partition(".")[2], {}).items():
            setattr(module, old, getattr(module, new))
        self._spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._spec  # importlib has just put the old name's there


class _MovedModules(MetaPathFinder):
    """Finds modules of 0.1 at their new place; folders that exist under an old name are left to Python."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        root, _, inside = fullname.partition(".")
        if root == _ROOT and inside in GONE:
            raise ModuleNotFoundError(f"{fullname} is now {GONE[inside]}", name=fullname)
        if root != _ROOT or inside not in MODULES or Path(__file__).parents[1].joinpath(*inside.split(".")).is_dir():
            return None
        new = f"{_ROOT}.{MODULES[inside]}"
        _warn(fullname, new)
        return ModuleSpec(fullname, _SameModule(new))


def install() -> None:
    """Let Python find moved modules; calling it again changes nothing."""
    if not any(isinstance(finder, _MovedModules) for finder in sys.meta_path):
        # In front: a folder that moved has a `__path__`, where Python would load its files a second time.
        sys.meta_path.insert(0, _MovedModules())
